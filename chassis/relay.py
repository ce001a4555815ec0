"""The only publisher: moves outbox rows to Kafka in their order, one relay a shard.

Any error of a send drops the producer: its sequence numbers may have a gap that nothing closes
(aiokafka never bumps the epoch). A new one sends again what was not acknowledged; the inbox of
each consumer removes the repeats. Rows of one partition are sent as one batch at a time, so that
what is acknowledged is always a prefix of every key.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import structlog
from aiokafka.partitioner import DefaultPartitioner

from chassis import clock, crashpoints
from chassis.kafka import make_producer, stop_within
from chassis.message import OutboxRow
from chassis.metrics import PUBLISHED, RELAY_FAILURES
from chassis.store import Store
from chassis.tasks import own_cancellation_only

log = structlog.get_logger()
_partitioner = DefaultPartitioner()
Sent = tuple[list[str], BaseException | None]


@dataclass
class Relay:
    """`wake` is set after each commit of this process; the poll finds what other instances wrote.

    Where nothing was published for a while, nobody waits for the next poll: it is slower then.
    `on_published` are told the keys of what Kafka has now, once the store knows it.
    """

    store: Store
    bootstrap: str
    name: str
    shard: int = 0
    batch_rows: int = 1000
    poll_s: float = 0.02
    idle_after_s: float = 2.0
    idle_poll_s: float = 0.1
    lead_retry_s: float = 0.5
    resigned_s: float = 0.75  # others have asked to lead by then
    send_timeout_s: float = 15.0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    on_published: list[Callable[[Iterable[str]], None]] = field(default_factory=list)
    failing: str = ""
    failures: int = 0
    _producer: Any = None
    _relayed_at: float = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Relay until told to stop; then once more, so that what was decided is on its way."""
        while not stopping.is_set():
            try:
                with own_cancellation_only():
                    await self._turn()
                self.failing = ""
            except Exception as error:  # noqa: BLE001 - nothing was acknowledged that Kafka lacks
                self.failures, self.failing = self.failures + 1, repr(error)
                RELAY_FAILURES.labels(self.name).inc()
                told = {"error": repr(error), "failures": self.failures}
                log.warning("relay_failed", shard=self.shard, **told)
                await self._drop_producer()
                await self.store.resign()  # it may be this instance alone that is cut off
                pause_s = clock.backoff_s(self.failures, base_s=0.1, max_s=2.0)
                await clock.wait(max(pause_s, self.resigned_s))
        await self._finish()

    async def _finish(self) -> None:
        try:
            async with asyncio.timeout(5):
                if await self.store.lead(self.shard):
                    while await self.relay_once():
                        pass
        except Exception as error:  # noqa: BLE001 - the next instance relays what is left
            log.warning("last_relay_failed", error=repr(error))
        await self._drop_producer()

    async def _turn(self) -> None:
        if not await self.store.lead(self.shard):
            await clock.wait(self.lead_retry_s)
            return
        self.wake.clear()
        relayed = await self.relay_once()
        self.failures = 0  # not by standing by, or what is refused would never be looked past
        if relayed:
            self._relayed_at = clock.monotonic()
            return
        is_idle = clock.monotonic() - self._relayed_at > self.idle_after_s
        await clock.wait_for(self.wake, self.idle_poll_s if is_idle else self.poll_s)

    async def relay_once(self) -> int:
        """Publish the oldest pending rows; returns how many Kafka has now."""
        # What Kafka refuses stays: a wider look finds what is behind it.
        rows = await self.store.pending(self.shard, self.batch_rows * min(1 + self.failures, 20))
        if not rows:
            return 0
        crashpoints.reached(crashpoints.COMMITTED)
        acknowledged, error = await self.publish(rows)
        if acknowledged:
            crashpoints.reached(crashpoints.PUBLISHED)
            await self.store.acknowledge(self.shard, acknowledged)
            PUBLISHED.labels(self.name).inc(len(acknowledged))
            done = set(acknowledged)
            keys = {row.key for id_, row in rows if id_ in done}
            for told in self.on_published:
                told(keys)
        if error is not None:
            raise error
        return len(acknowledged)

    async def publish(self, rows: Sequence[tuple[str, OutboxRow]]) -> Sent:
        """Send rows, by topic and partition; returns the acknowledged ids and the first error."""
        producer = await self._live_producer()
        by_topic: dict[str, list[tuple[str, OutboxRow]]] = {}
        for id_, row in rows:
            by_topic.setdefault(row.topic, []).append((id_, row))
        return await _together(
            self._send_topic(producer, topic, batch) for topic, batch in by_topic.items()
        )

    async def _send_topic(
        self, producer: Any, topic: str, rows: Sequence[tuple[str, OutboxRow]]
    ) -> Sent:
        """A topic that Kafka lacks or forbids holds up no other."""
        async with asyncio.timeout(self.send_timeout_s):
            known = tuple(sorted(await producer.partitions_for(topic)))
        parted: dict[int, list[tuple[str, OutboxRow]]] = {}
        for id_, row in rows:
            partition = partition_of(row.key.encode(), known)
            parted.setdefault(partition, []).append((id_, row))
        return await _together(
            self._send(producer, topic, partition, batch) for partition, batch in parted.items()
        )

    async def _send(
        self, producer: Any, topic: str, partition: int, rows: Sequence[tuple[str, OutboxRow]]
    ) -> Sent:
        """Send the rows of one partition, as few batches as they fit in, one after the other."""
        done: list[str] = []
        waiting = list(rows)
        while waiting:
            batch, taken = producer.create_batch(), 0
            for _, row in waiting:
                fits = batch.append(
                    key=row.key.encode(), value=row.value, timestamp=None, headers=row.headers
                )
                if fits is None:
                    break
                taken += 1
            try:
                assert taken, f"an event of {topic} is larger than a batch"
                batch.close()
                async with asyncio.timeout(self.send_timeout_s):
                    await (await producer.send_batch(batch, topic, partition=partition))
            except Exception as error:  # noqa: BLE001 - the caller drops the producer
                return done, error
            done.extend(id_ for id_, _ in waiting[:taken])
            waiting = waiting[taken:]
        return done, None

    async def _live_producer(self) -> Any:
        if self._producer is None:
            producer = make_producer(self.bootstrap, f"{self.name}-relay")
            try:
                async with asyncio.timeout(self.send_timeout_s):
                    await producer.start()
            except BaseException:
                await stop_within(producer, 2)
                raise
            self._producer = producer
        return self._producer

    async def _drop_producer(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await stop_within(producer, 2)


@lru_cache(maxsize=10_000)
def partition_of(key: bytes, known: tuple[int, ...]) -> int:
    """Where any Kafka client puts a key; its hash in Python is slow, and an order's key comes again."""
    partition: int = _partitioner(key, known, known)
    return partition


async def _together(sends: Iterable[Awaitable[Sent]]) -> Sent:
    """What all of them had acknowledged, and the first error."""
    acknowledged: list[str] = []
    first_error: BaseException | None = None
    for result in await asyncio.gather(*sends, return_exceptions=True):
        done, error = ([], result) if isinstance(result, BaseException) else result
        acknowledged.extend(done)
        first_error = first_error or error
    return acknowledged, first_error
