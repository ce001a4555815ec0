"""How rows get into Kafka: by topic and partition, one batch of a partition at a time.

Any error of a send drops the producer: its sequence numbers may have a gap that nothing closes
(aiokafka never bumps the epoch). Rows of one partition are sent as one batch at a time, so that
what is acknowledged is always a prefix of every key.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from aiokafka.partitioner import murmur2

from chassis.kafka import make_producer, stop_within
from chassis.message import OutboxRow

Rows = Sequence[tuple[str, OutboxRow]]
Sent = tuple[list[str], BaseException | None]


@dataclass
class Sender:
    """`name` is what brokers and logs know the producer by."""

    bootstrap: str
    name: str
    send_timeout_s: float = 15.0
    _producer: Any = None

    async def publish(self, rows: Rows) -> Sent:
        """Send rows, by topic and partition; returns the acknowledged ids and the first error."""
        producer = await self._live_producer()
        by_topic: dict[str, list[tuple[str, OutboxRow]]] = {}
        for id_, row in rows:
            by_topic.setdefault(row.topic, []).append((id_, row))
        sends = [self._send_topic(producer, *topic) for topic in by_topic.items()]
        sent = [await sends[0]] if len(sends) == 1 else await asyncio.gather(*sends)
        errors = (error for _, error in sent if error is not None)
        return [id_ for done, _ in sent for id_ in done], next(errors, None)

    async def _send_topic(self, producer: Any, topic: str, rows: Rows) -> Sent:
        """A topic that Kafka lacks or forbids holds up no other."""
        done: list[str] = []
        errors: list[BaseException] = []
        try:
            async with asyncio.timeout(self.send_timeout_s):
                known = tuple(sorted(await producer.partitions_for(topic)))
            parted: dict[int, list[tuple[str, OutboxRow]]] = {}
            for id_, row in rows:
                parted.setdefault(partition_of(row.key.encode(), known), []).append((id_, row))
            waiting: dict[int, Rows] = dict(parted)
            while waiting and not errors:
                waiting = await self._send_first(producer, topic, waiting, done, errors)
        except Exception as error:  # noqa: BLE001 - the caller drops the producer
            errors.append(error)
        return done, errors[0] if errors else None

    async def _send_first(
        self,
        producer: Any,
        topic: str,
        waiting: dict[int, Rows],
        done: list[str],
        errors: list[BaseException],
    ) -> dict[int, Rows]:
        """Send what fits into one batch of each partition; returns the rows that are left."""
        sent: dict[asyncio.Future[Any], Rows] = {}
        left: dict[int, Rows] = {}
        try:
            async with asyncio.timeout(self.send_timeout_s):
                for partition, rows in waiting.items():
                    batch, taken = _batch_of(producer, rows)
                    if not taken:
                        errors.append(ValueError(f"an event of {topic} is larger than a batch"))
                        continue
                    future = await producer.send_batch(batch, topic, partition=partition)
                    sent[future] = rows[:taken]
                    if taken < len(rows):
                        left[partition] = rows[taken:]
                if sent:
                    await asyncio.wait(sent)
        except Exception as error:  # noqa: BLE001 - what is acknowledged until then counts all the same
            errors.append(error)
        for future, rows in sent.items():
            if not future.done() or future.cancelled():
                future.cancel()
                errors.append(ConnectionError("the producer gave no answer"))
            elif (refusal := future.exception()) is not None:
                errors.append(refusal)
            else:
                done.extend(id_ for id_, _ in rows)
        return left

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
def hash_of(key: bytes) -> int:
    """Kafka's hash of a key; it is slow in Python, and an order's key comes again."""
    hashed: int = murmur2(key)
    return hashed & 0x7FFFFFFF


def partition_of(key: bytes, known: tuple[int, ...]) -> int:
    """Where any Kafka client puts a key; `known` are a topic's partitions in their order."""
    return known[hash_of(key) % len(known)]


def _batch_of(producer: Any, rows: Rows) -> tuple[Any, int]:
    """The first rows that fit into one batch, and how many they are."""
    batch, taken = producer.create_batch(), 0
    for _, row in rows:
        fits = batch.append(
            key=row.key.encode(), value=row.value, timestamp=None, headers=row.headers
        )
        if fits is None:
            break
        taken += 1
    batch.close()
    return batch, taken
