"""What a group has left unread of the topics of before, also where its commits are forgotten."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Final

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndTimestamp

from chassis import clock
from chassis.kafka import COMMITS_KEPT, clients, unread
from chassis.kafka import consumer as consumers
from chassis.kafka.consumer import ConsumerSession
from loyalty_svc.service import SERVICE as LOYALTY

NOW: Final = datetime(2026, 3, 9, 12, tzinfo=UTC)
DAY_AGO_MS: Final = int((NOW - COMMITS_KEPT).timestamp() * 1000)
FULL: Final = TopicPartition("order.events", 0)
OTHER: Final = TopicPartition("order.events", 1)
EMPTY: Final = TopicPartition("loyalty.events", 0)


@dataclass
class StubConsumer:
    """Of a group; records are ten in each partition but one, of which the first `old` are of before."""

    commits: dict[TopicPartition, int] = field(default_factory=dict)
    starts: dict[TopicPartition, int] = field(default_factory=dict)
    old: int = 10

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def assign(self, _places: list[TopicPartition]) -> None: ...

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: self.starts.get(place, 0) for place in places}

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: 0 if place == EMPTY else 10 for place in places}

    async def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[Any, Any]:
        assert set(times.values()) <= {DAY_AGO_MS}
        is_none = self.old == 10
        return {
            p: None if is_none or p == EMPTY else OffsetAndTimestamp(self.old, at)
            for p, at in times.items()
        }

    async def committed(self, place: TopicPartition) -> int | None:
        return self.commits.get(place)


async def left(
    consumer: StubConsumer,
    monkeypatch: pytest.MonkeyPatch,
    kept: dict[tuple[str, int], int] | None = None,
) -> dict[str, int]:
    async def places_of(_at: str, _topics: Any) -> list[TopicPartition]:
        return [FULL, OTHER, EMPTY]

    monkeypatch.setattr(clients, "make_consumer", lambda *_: consumer)
    monkeypatch.setattr(clients, "places_of", places_of)
    monkeypatch.setattr(clock, "now", lambda: NOW)
    return await unread("h:9092", "payment", ["order.events", "loyalty.events"], kept)


@pytest.mark.parametrize(
    ("commits", "count"), [((10, 10), 0), ((10, 9), 1), ((3, 4), 13), ((0, 10), 10)]
)
async def test_what_is_behind_the_commit_is_unread(
    commits: tuple[int, int], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = StubConsumer(dict(zip((FULL, OTHER), commits, strict=True)))
    expected = {"order.events": count} if count else {}
    assert await left(consumer, monkeypatch) == expected


async def test_what_was_cut_is_not_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = StubConsumer({FULL: 3, OTHER: 10}, starts={FULL: 8})
    assert await left(consumer, monkeypatch) == {"order.events": 2}


async def test_a_commit_that_the_broker_has_forgotten_leaves_nothing_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Days after a move: nobody reads the topic any more, and no process could start."""
    assert await left(StubConsumer(), monkeypatch) == {}


async def test_without_a_commit_the_records_of_the_last_day_are_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The group is new: it has handled none of them."""
    assert await left(StubConsumer(old=0), monkeypatch) == {"order.events": 20}
    assert await left(StubConsumer({OTHER: 10}, old=7), monkeypatch) == {"order.events": 3}


async def test_what_a_store_that_was_set_back_has_not_read_is_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it had decided on them since may be lost; what is older than a day was published long ago."""
    consumer = StubConsumer({FULL: 10, OTHER: 10}, old=2)
    assert await left(consumer, monkeypatch, {(FULL.topic, 0): 7}) == {"order.events": 3 + 8}
    assert await left(consumer, monkeypatch, {(FULL.topic, n): 10 for n in (0, 1)}) == {}


@dataclass
class StubStore:
    """Its positions are beside its data, or Kafka has them."""

    keeps_positions: bool

    async def positions(self) -> dict[tuple[str, int], int]:
        return {(FULL.topic, 0): 7}


@pytest.mark.parametrize(("keeps_positions", "more"), [(True, {"order.events"}), (False, set())])
async def test_a_store_that_was_set_back_reads_topics_again_that_were_left(
    keeps_positions: bool,  # noqa: FBT001 - a case of the test
    more: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unread_ones(*asked: Any) -> dict[str, int]:
        assert asked[1:] == ("loyalty", LOYALTY.left_topics, {(FULL.topic, 0): 7})
        return {"order.events": 3}

    monkeypatch.setattr(consumers, "unread", unread_ones)
    of = SimpleNamespace(service=LOYALTY, store=StubStore(keeps_positions), bootstrap="h:9092")
    session: Any = SimpleNamespace(of=of)
    topics = await ConsumerSession.topics(session)
    assert topics == sorted({*LOYALTY.topics} | more)
