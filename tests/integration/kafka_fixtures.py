"""The Kafka clients as the chassis makes them, on a real and on a simulated broker."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from chassis.kafka import Cluster
from chassis.kafka import clients as kafka
from simulation.broker import Broker
from simulation.kafka_clients import connected_to
from tests.support.waiting import patient, until_async


@pytest.fixture(params=["simulated", "real"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Inside, every client that is made of chassis.kafka.clients's names is of this kind."""
    if request.param == "real":
        yield request.getfixturevalue("addresses").kafka
        return
    broker = Broker()
    with connected_to(broker):
        yield Cluster(broker.address)


def a_client(kind: str, cluster: Cluster, **options: Any) -> Any:
    return vars(kafka)[f"AIOKafka{kind}"](**cluster.options(), **options)


def a_name() -> str:
    return f"contract-{uuid.uuid4().hex}"


async def a_topic(cluster: Cluster, partitions: int = 1, *, compacted: bool = False) -> str:
    """Which the broker knows: it may answer that a topic is made before it does.

    A member of a group that does not find one of its topics is assigned the others, until it looks again.
    """
    name = a_name()
    settings = kafka.COMPACTED if compacted else kafka.KEEP_FOR_EVER
    await kafka.ensure_topics(cluster, {name: (partitions, settings)})

    async def is_known() -> bool:
        return len(await kafka.places_of(cluster, [name])) == partitions

    await until_async(is_known, 30, f"{name} in the broker's metadata")
    return name


@asynccontextmanager
async def started(client: Any) -> AsyncIterator[Any]:
    await client.start()
    try:
        yield client
    finally:
        await kafka.stop_within(client, 5)


def a_producer(cluster: Cluster, **options: Any) -> Any:
    """A producer that is made here, with other options than the relay's."""
    chosen: dict[str, Any] = {"acks": "all", "retry_backoff_ms": 50} | options
    return a_client("Producer", cluster, **chosen)


async def send(
    cluster: Cluster, topic: str, values: list[bytes], partition: int = 0, **options: Any
) -> None:
    async with started(a_producer(cluster)) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=partition, **options)


@asynccontextmanager
async def reader(
    cluster: Cluster, topic: str, *partitions: int, **options: Any
) -> AsyncIterator[Any]:
    """A consumer of no group, at the start of partitions."""
    chosen = {"auto_offset_reset": "earliest"} | options
    client = a_client("Consumer", cluster, **chosen)
    async with started(client):
        client.assign([TopicPartition(topic, number) for number in partitions or (0,)])
        yield client


async def take(consumer: Any, count: int, **options: Any) -> list[ConsumerRecord[Any, Any]]:
    """Records as they come, until there are so many."""
    found: list[ConsumerRecord[Any, Any]] = []
    async with asyncio.timeout(patient(90)):
        while len(found) < count:
            batches = await consumer.getmany(timeout_ms=200, **options)
            found += [record for batch in batches.values() for record in batch]
    return found


async def polled_until(condition: Callable[[], Any], *consumers: Any) -> None:
    """Poll consumers in turn until something is so."""
    async with asyncio.timeout(patient(90)):
        while not condition():
            for consumer in consumers:
                await consumer.getmany(timeout_ms=50)


class RebalanceCalls(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka carries no types
    """Remembers what it was told; a test may make it wait, or fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, frozenset[int]]] = []
        self.before: Callable[[str], Any] | None = None

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._called("revoked", revoked)

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._called("assigned", assigned)

    async def _called(self, what: str, places: Any) -> None:
        self.calls.append((what, frozenset(place.partition for place in places)))
        if self.before is not None:
            await self.before(what)


@asynccontextmanager
async def member(
    cluster: Cluster,
    group: str,
    topics: list[str],
    listener: RebalanceCalls | None = None,
    **options: Any,
) -> AsyncIterator[Any]:
    """A member of a group with heartbeats that follow one another quickly."""
    chosen: dict[str, Any] = {
        "client_id": "member",
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "partition_assignment_strategy": (RangePartitionAssignor,),
        "session_timeout_ms": 6_000,
        "heartbeat_interval_ms": 200,
        "rebalance_timeout_ms": 5_000,
        "retry_backoff_ms": 50,
    }
    client = a_client("Consumer", cluster, group_id=group, **(chosen | options))
    async with started(client):
        client.subscribe(topics, listener=listener)
        yield client


def numbers(consumer: Any) -> set[int]:
    return {place.partition for place in consumer.assignment()}
