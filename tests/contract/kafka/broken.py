"""Faults that a test has planned, and simulated clients to meet them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError

from chassis.kafka import Cluster
from chassis.kafka import clients as kafka
from simulation.broker import Broker
from simulation.faults import NO_FAULT, Fault, RequestKind
from simulation.kafka_clients import connected_to

TOPIC = "events"
HERE, THERE = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
REQUEST_LOST = Fault(error=KafkaTimeoutError())
REPLY_LOST = Fault(error=KafkaTimeoutError(), applied=True)
BROKEN_OFF = Fault(error=KafkaConnectionError())
REPLY_BROKEN_OFF = Fault(error=KafkaConnectionError(), applied=True)


class Planned:
    """One fault after the other for requests of a kind and partition; -1 is any."""

    def __init__(self) -> None:
        self.plan: dict[tuple[RequestKind, int], list[Fault]] = {}

    def next(self, kind: RequestKind, *faults: Fault, partition: int = -1) -> None:
        self.plan[kind, partition] = list(faults)

    def of(self, kind: RequestKind, place: TopicPartition) -> Fault:
        for key in ((kind, place.partition), (kind, -1)):
            if self.plan.get(key):
                return self.plan[key].pop(0)
        return NO_FAULT


@asynccontextmanager
async def a_broker(partitions: int = 2) -> AsyncIterator[tuple[Broker, Planned]]:
    broker, faults = Broker(), Planned()
    broker.fault_of = faults.of
    broker.create_topic(TOPIC, partitions, kafka.KEEP_FOR_EVER)
    with connected_to(broker):
        yield broker, faults


@asynccontextmanager
async def a_producer() -> AsyncIterator[Any]:
    producer = kafka.make_producer(Cluster("simulated"), "relay")
    await producer.start()
    yield producer
    await kafka.stop_within(producer, 2)


async def send(producer: Any, *values: bytes, partition: int = 0) -> int:
    """Send values as one batch; returns the offset of the first."""
    batch = producer.create_batch()
    for value in values:
        batch.append(key=b"k", value=value, timestamp=None, headers=[])
    batch.close()
    sent = await (await producer.send_batch(batch, TOPIC, partition=partition))
    return int(sent.offset)


async def a_member(group: str = "group", listener: Any = None) -> Any:
    consumer = kafka.make_consumer(Cluster("simulated"), group)
    await consumer.start()
    consumer.subscribe([TOPIC], listener=listener)
    return consumer


async def polled(consumer: Any, until: Callable[[], Any]) -> list[bytes]:
    """Poll until something is so; returns the values that came."""
    values: list[bytes] = []
    async with asyncio.timeout(600):
        while not until():
            batches = await consumer.getmany(timeout_ms=200)
            values += [record.value for batch in batches.values() for record in batch]
    return values


def values_of(broker: Broker, partition: int = 0) -> Sequence[bytes | None]:
    return [record.value for record in broker.log(TOPIC, partition)]
