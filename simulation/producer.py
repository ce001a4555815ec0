"""aiokafka's producer, as far as it is used here, on a simulated broker.

Each partition has a queue of its own, as if each had a leader of its own. A sequence number is used
up when a batch leaves; a batch that fails is not sent again, and so leaves a gap that nothing closes.
"""

import asyncio
import copy
from collections import deque
from functools import partial
from types import SimpleNamespace
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import RecordMetadata

from chassis import clock
from simulation.broker import Broker
from simulation.connection import BrokerConnection, options_of
from simulation.partition import PartitionBatch, Unsent
from simulation.waiters import refuse

log = structlog.get_logger()
_partition_of = DefaultPartitioner()
DeliveryFuture = asyncio.Future[RecordMetadata]
Pairs = list[tuple[str, bytes | None]]


class Builder(BatchBuilder):  # type: ignore[misc]  # aiokafka carries no types
    """aiokafka's own batch, whose encoder knows the sizes; the records are kept as they are."""

    def __init__(self, max_size: int) -> None:
        super().__init__(max_size, 0)
        self.records: list[Unsent] = []

    def append(
        self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: Pairs
    ) -> Any:
        if timestamp is None:
            timestamp = int(clock.now().timestamp() * 1000)
        added = super().append(timestamp=timestamp, key=key, value=value, headers=headers)
        if added is not None:
            self.records.append((timestamp, key, value, tuple(headers)))
        return added


class Accumulator:
    """Batches on their way, by partition."""

    def __init__(self, connection: BrokerConnection, expires_s: float | None) -> None:
        self.connection = connection
        self.expires_s = expires_s
        self.producer_id: int | None = None
        self._queues: dict[TopicPartition, deque[tuple[Builder, DeliveryFuture, int]]] = {}
        self._sequences: dict[TopicPartition, int] = {}
        self._deliveries: dict[TopicPartition, asyncio.Task[None]] = {}
        self._failed: BaseException | None = None
        self._is_closed = False

    def add(self, place: TopicPartition, batch: Builder, timestamp: int = -1) -> DeliveryFuture:
        if self._is_closed:
            raise ProducerClosed
        if self._failed is not None:
            raise copy.copy(self._failed)
        delivery: DeliveryFuture = self.connection.loop.create_future()
        self._queues.setdefault(place, deque()).append((batch, delivery, timestamp))
        if place not in self._deliveries:
            self._deliveries[place] = asyncio.create_task(self._deliver(place))
        return delivery

    async def close(self) -> None:
        """Waits for what is on its way, as long as that takes."""
        self._is_closed = True
        if self._deliveries:
            await asyncio.wait(tuple(self._deliveries.values()))

    def cancel(self) -> None:
        for task in self._deliveries.values():
            task.cancel()

    def fail_all(self, error: BaseException) -> None:
        self._failed = error
        for queue in self._queues.values():
            for _, delivery, _ in queue:
                refuse(delivery, copy.copy(error))

    async def _deliver(self, place: TopicPartition) -> None:
        queue = self._queues[place]
        while queue:
            batch, delivery, timestamp = queue[0]
            sequence = self._sequences.get(place, 0)
            self._sequences[place] = sequence + batch.record_count()
            sent = PartitionBatch(batch.records, batch.size(), self.producer_id, sequence)
            request = partial(self.connection.broker.append, place, sent)
            try:
                async with asyncio.timeout(self.expires_s):
                    offset = await self.connection.persist("produce", request, place)
            except TimeoutError:
                refuse(delivery, RequestTimedOutError())
            except KafkaError as error:
                self._sequences[place] += 1  # whether it was appended is unknown: a gap in any case
                refuse(delivery, error)
            else:
                if not delivery.done():
                    delivery.set_result(RecordMetadata(*place, place, offset, timestamp, 0, 0))
            queue.popleft()
        del self._deliveries[place]


class Producer:
    def __init__(self, broker: Broker, **options: Any) -> None:
        self.options = chosen = options_of(AIOKafkaProducer, options)
        if chosen.linger_ms or chosen.acks not in {"all", -1}:
            raise NotImplementedError("linger_ms, or another acks than all")
        self._broker = broker
        self.client = BrokerConnection(broker, chosen)
        expires_s = None if chosen.enable_idempotence else self.client.timeout_s
        self._message_accumulator = Accumulator(self.client, expires_s)
        self._sender = SimpleNamespace(_sender_task=self._message_accumulator)
        self._known: dict[str, set[int]] = {}
        self._is_closed = False

    async def start(self) -> None:
        await self.client.bootstrap()
        if self.options.enable_idempotence:
            given = await self.client.persist("init", lambda: next(self._broker.producer_ids))
            self._message_accumulator.producer_id = given

    async def stop(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        await self._message_accumulator.close()
        await self.client.close()

    async def partitions_for(self, topic: str) -> set[int]:
        """Waits for a topic that is not there yet."""
        deadline = self.client.loop.time() + self.client.timeout_s
        while topic not in self._known:
            try:
                found = await self.client.call(
                    "metadata", lambda: self._broker.partitions_for_topic(topic)
                )
            except KafkaError as error:
                log.info("metadata_unknown", client=self.options.client_id, error=repr(error))
                found = None
            if found:
                self._known[topic] = found
            elif self.client.loop.time() > deadline:
                raise UnknownTopicOrPartitionError(topic)
            else:
                await clock.wait(self.client.backoff_s)
        return set(self._known[topic])

    def create_batch(self) -> Builder:
        return Builder(self.options.max_batch_size)

    async def send_batch(self, batch: Builder, topic: str, *, partition: int) -> DeliveryFuture:
        assert partition in await self.partitions_for(topic), "Unrecognized partition"
        batch.close()
        return self._message_accumulator.add(TopicPartition(topic, partition), batch)

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Pairs | None = None,
    ) -> DeliveryFuture:
        assert not (value is None and key is None), "Need at least one: key or value"
        known = sorted(await self.partitions_for(topic))
        pairs = headers or []
        size = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, pairs)
        if size > self.options.max_request_size:
            raise MessageSizeTooLargeError(f"The message is {size} bytes when serialized")
        if partition is None:
            partition = known[0] if key is None else _partition_of(key, known, known)
        assert partition in known, "Unrecognized partition"
        batch = self.create_batch()
        added = batch.append(timestamp=timestamp_ms, key=key, value=value, headers=pairs)
        place = TopicPartition(topic, partition)
        return self._message_accumulator.add(place, batch, added.timestamp)

    async def send_and_wait(self, *args: Any, **options: Any) -> RecordMetadata:
        return await (await self.send(*args, **options))
