"""Rows of one key in several topics: what Kafka has of a key is always its first rows."""

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka import TopicPartition

from chassis import clock
from chassis.kafka import KEEP_FOR_EVER, Cluster
from chassis.message import OutboxRow
from chassis.outbox import Sender
from simulation.broker import Broker
from simulation.faults import NO_FAULT, Fault, RequestKind
from simulation.kafka_clients import connected_to
from tests.contract.kafka.virtual import run

FACTS, FORWARD = "payment.facts", "payment.forward"
ROWS = [
    ("1", OutboxRow(FACTS, "a", b"1", [])),
    ("2", OutboxRow(FORWARD, "a", b"2", [])),
    ("3", OutboxRow(FACTS, "b", b"1", [])),
    ("4", OutboxRow(FACTS, "a", b"3", [])),
    ("5", OutboxRow(FORWARD, "b", b"2", [])),
]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr(clock, "monotonic", lambda: asyncio.get_running_loop().time())
    made = Broker(latency_s=0.002)
    for topic in (FACTS, FORWARD):
        made.create_topic(topic, 1, KEEP_FOR_EVER)
    with connected_to(made):
        yield made


def published(broker: Broker) -> list[tuple[str, bytes]]:
    """Keys and values as they were appended."""
    found: list[tuple[str, bytes]] = []
    broker.on_append.append(
        lambda records: found.extend((r.key.decode(), r.value) for r in records)
    )
    return found


def test_a_row_waits_for_the_one_before_it_in_another_topic(broker: Broker) -> None:
    appended = published(broker)

    async def send() -> None:
        sender = Sender(Cluster(broker.address), "relay")
        assert await sender.publish(ROWS) == (["1", "3", "2", "5", "4"], None)
        await sender.drop_producer()

    run(send)
    for key in ("a", "b"):
        values = [value for of, value in appended if of == key]
        assert values == sorted(values)


def test_what_follows_a_row_in_a_topic_that_is_shut_waits_in_the_others(broker: Broker) -> None:
    del broker.topics[FORWARD]

    async def send() -> None:
        sender = Sender(Cluster(broker.address), "relay", send_timeout_s=2)
        acknowledged, _ = await sender.publish(ROWS)
        assert (acknowledged, [*sender.shut]) == (["1", "3"], [FORWARD])
        await sender.drop_producer()

    run(send)


def test_where_kafka_is_slow_later_rows_wait_until_it_is_known_who_leads(broker: Broker) -> None:
    """Who took over has waited for no more than one send of the relay before."""

    def slow(kind: RequestKind, _place: TopicPartition) -> Fault:
        return Fault(delay_s=1.5) if kind == "produce" else NO_FAULT

    async def send() -> None:
        broker.fault_of = slow
        sender = Sender(Cluster(broker.address), "relay")
        assert await sender.publish(ROWS) == (["1", "3"], None)
        left = [(id_, row) for id_, row in ROWS if id_ not in {"1", "3"}]
        assert await sender.publish(left) == (["2", "5"], None)
        await sender.drop_producer()

    run(send)
