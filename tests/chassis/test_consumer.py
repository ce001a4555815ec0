"""What a consumer does with records that come while its partitions are being assigned."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from chassis.kafka import Cluster, consumer
from chassis.kafka.consumer import Consumer, ConsumerSession
from chassis.message import Decided, Message, Outcome, Record
from shipping_svc.service import SERVICE
from tests.support.records import a_record, captured
from tests.support.waiting import until_async

PLACE = TopicPartition("payment.events", 0)


class OneBatch:
    """A client that hands out one record; aiokafka does so before `on_partitions_assigned` ends."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.stopped = False

    async def start(self) -> None: ...

    def subscribe(self, *_: Any, **__: Any) -> None: ...

    def assignment(self) -> set[TopicPartition]:
        return set()

    def partitions_for_topic(self, _: str) -> set[int] | None:
        return None

    async def stop(self) -> None:
        self.stopped = True

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0)
        r = self.record
        found = ConsumerRecord(r.topic, 0, 7, 0, 0, r.key, r.value, None, 0, 0, tuple(r.headers))
        return {PLACE: [found]}


class Seen:
    """A store and its handler, which only remembers what it was asked to handle."""

    def __init__(self, *, keeps_positions: bool) -> None:
        self.keeps_positions = keeps_positions
        self.lost = False
        self.messages: list[Message] = []

    async def prepare(self, _: asyncio.Event) -> None: ...

    async def skipped(self) -> frozenset[tuple[str, int, int]]:
        return frozenset()

    async def handle(self, messages: Sequence[Message]) -> list[Outcome]:
        self.messages += messages
        return [Decided((), None) for _ in messages]


def a_reader(store: Any, **settings: Any) -> Consumer:
    return Consumer(SERVICE, store, store, Cluster("127.0.0.1:1"), **settings)


def _handled_while_unassigned(*, keeps_positions: bool) -> int:
    async def turn() -> int:
        event = captured()
        store = Seen(keeps_positions=keeps_positions)
        reader = a_reader(store)
        session = ConsumerSession(reader, asyncio.Event())
        session.client = OneBatch(a_record(event))
        await session.turn()
        return len(store.messages)

    return asyncio.run(turn())


def test_nothing_is_dropped_where_kafka_keeps_the_positions() -> None:
    """The position is past the record already: dropped, it would be skipped for ever."""
    assert _handled_while_unassigned(keeps_positions=False) == 1


def test_records_before_the_stores_own_position_is_set_are_left_for_later() -> None:
    """The seek that follows reads them again."""
    assert _handled_while_unassigned(keeps_positions=True) == 0


class NeverAssigned(OneBatch):
    """aiokafka's getmany waits for an assignment without end, also after the client was stopped."""

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        await asyncio.Event().wait()
        return {}


def test_a_client_that_is_never_assigned_anything_is_thrown_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event = captured()
    made: list[OneBatch] = []

    def make(*_: str) -> OneBatch:
        made.append(OneBatch(a_record(event)) if made else NeverAssigned(a_record(event)))
        return made[-1]

    async def run() -> Seen:
        store = Seen(keeps_positions=False)
        reader = a_reader(store, stall_s=0.2)
        stopping = asyncio.Event()
        running = asyncio.create_task(reader.run(stopping))
        await until_async(lambda: store.messages, 10, "a message")
        stopping.set()
        await running
        return store

    monkeypatch.setattr(consumer, "make_consumer", make)
    assert asyncio.run(run()).messages[0].body == event
    assert [client.stopped for client in made] == [True, True]
