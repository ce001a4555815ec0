"""What a consumer does with records that come while its partitions are being assigned."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from chassis.kafka import Cluster, consumer
from chassis.kafka.consumer import Consumer, ConsumerSession
from chassis.message import Decided, Message, Outcome, Record
from shared_events.order import DeliveryDetailsGiven
from shipping_svc.service import SERVICE
from shipping_svc.store import DELIVERY_DETAILS as DETAILS_TABLE
from tests.support.records import a_record, captured
from tests.support.stopped_clock import StoppedClock
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
        self.work: list[str] = []

    async def prepare(self, _: asyncio.Event) -> None: ...

    async def skipped(self) -> frozenset[tuple[str, int, int]]:
        return frozenset()

    async def handle(self, messages: Sequence[Message]) -> list[Outcome]:
        self.messages += messages
        self.work.append("decided")
        return [Decided((), None) for _ in messages]

    async def project(self, records: Sequence[Record]) -> None:
        self.work.append(f"projected {len(records)}")


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

    def make(*_: Any) -> OneBatch:
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


DETAILS = a_record(
    DeliveryDetailsGiven(order_id="o-1", **dict.fromkeys(DETAILS_TABLE.columns[:4], ""))
)
EVENT = a_record(captured())


class Polls(OneBatch):
    """A client that hands out what is given to it, poll by poll."""

    def __init__(self, *polls: Sequence[Record]) -> None:
        super().__init__(EVENT)
        self.polls = list(polls)

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        found: dict[TopicPartition, list[Any]] = {}
        for r in self.polls.pop(0):
            part = found.setdefault(TopicPartition(r.topic, 0), [])
            values = (r.key, r.value, None, 0, 0, tuple(r.headers))
            part.append(ConsumerRecord(r.topic, 0, len(part), 0, 0, *values))
        return found


def worked(*polls: Sequence[Record], seconds: float = 0.0, **settings: Any) -> list[str]:
    """What the store is asked to do, and "-" at the end of each poll; `seconds` are between them."""

    async def run() -> list[str]:
        store = Seen(keeps_positions=False)
        with pytest.MonkeyPatch.context() as patch:
            clock = StoppedClock(patch)
            session = ConsumerSession(a_reader(store, **settings), asyncio.Event())
            session.client = Polls(*polls)
            for _ in polls:
                await session.turn()
                store.work.append("-")
                clock.s += seconds
        return store.work

    return asyncio.run(run())


def test_what_is_only_projected_shares_the_batch_of_what_follows() -> None:
    assert worked([DETAILS], [DETAILS], [EVENT]) == ["-", "-", "projected 2", "decided", "-"]


def test_what_is_only_projected_waits_no_longer_than_a_poll_in_which_nothing_comes() -> None:
    assert worked([DETAILS], [], [DETAILS]) == ["-", "projected 1", "-", "-"]


def test_what_is_only_projected_is_not_held_back_for_long_nor_in_large_numbers() -> None:
    assert worked([DETAILS], [DETAILS], seconds=0.2) == ["-", "projected 2", "-"]
    assert worked([DETAILS], [DETAILS], batch_records=2) == ["-", "projected 2", "-"]


class TakenAway(Polls):
    """One whose partitions are taken away before the second poll; the last one ends the process."""

    def __init__(self, stopping: asyncio.Event, *polls: Sequence[Record]) -> None:
        super().__init__(*polls)
        self.stopping = stopping
        self._coordinator = SimpleNamespace(member_id="")

    def subscribe(self, *_: Any, listener: Any, **__: Any) -> None:
        self.listener = listener

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        if len(self.polls) == 1:
            await self.listener.on_partitions_revoked(set())
            self.stopping.set()
        return await super().getmany()


def test_what_is_held_back_of_partitions_that_are_taken_away_is_left_to_their_next_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> Seen:
        store, stopping = Seen(keeps_positions=False), asyncio.Event()
        client = TakenAway(stopping, [DETAILS], [EVENT])
        monkeypatch.setattr(consumer, "make_consumer", lambda *_: client)
        await a_reader(store).run(stopping)
        return store

    assert asyncio.run(run()).work == ["decided"]
