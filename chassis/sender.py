"""How rows get into Kafka: by topic and partition, one batch of a partition at a time.

Any error of a send drops the producer: its sequence numbers may have a gap that nothing closes
(aiokafka never bumps the epoch). Rows of one partition are sent as one batch at a time, so that
what is acknowledged is always a prefix of every key.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from aiokafka.partitioner import DefaultPartitioner

from chassis.kafka import make_producer, stop_within
from chassis.message import OutboxRow

_partitioner = DefaultPartitioner()
Sent = tuple[list[str], BaseException | None]


@dataclass
class Sender:
    """`name` is what brokers and logs know the producer by."""

    bootstrap: str
    name: str
    send_timeout_s: float = 15.0
    _producer: Any = None

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
            producer = make_producer(self.bootstrap, self.name)
            try:
                async with asyncio.timeout(self.send_timeout_s):
                    await producer.start()
            except BaseException:
                await stop_within(producer, 2)
                raise
            self._producer = producer
        return self._producer

    async def drop_producer(self) -> None:
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
