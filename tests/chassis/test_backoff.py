"""Whoever tries again waits longer each time, and not for ever where somebody waits for the answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from chassis import clock
from chassis.decide import BatchResult, Snapshot
from chassis.errors import ConcurrentChangeError
from chassis.handle import CONFLICTS_MAX, Handler
from chassis.kafka import Cluster, consumer
from chassis.message import Message
from chassis.process import runtime
from chassis.store import UnitOfWork
from shipping_svc.service import SERVICE
from tests.chassis.test_consumer import OneBatch, Seen, a_reader
from tests.simulation.loyalty import VirtualTime
from tests.support.records import a_message, a_record, captured

OUTAGE_S = 60.0
TRIES_MAX = 60
"""In a minute; a loop that does not wait tries two thousand times a second."""


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    virtual = VirtualTime()
    virtual.replace(monkeypatch)
    return virtual


class Forbidden(OneBatch):
    """A client whose principal lost the right to read: polls are refused at once, after so many others."""

    def __init__(self, error: type[Exception], polls: list[float], well: int = 0) -> None:
        super().__init__(a_record(captured()))
        self.error, self.polls, self.well = error, polls, well

    async def getmany(self, **how: Any) -> Any:
        self.polls.append(clock.monotonic())
        if self.well:
            self.well -= 1
            return await super().getmany(**how)
        raise self.error("payment.forward")


async def _for_a_minute(time: VirtualTime, run: Any) -> None:
    stopping = asyncio.Event()
    running = asyncio.create_task(run(stopping))
    until = time.monotonic() + OUTAGE_S
    while time.monotonic() < until:
        assert not running.done(), running.exception()
        await asyncio.sleep(0)
    stopping.set()
    await running


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError, GroupAuthorizationFailedError])
async def test_a_consumer_that_is_refused_asks_ever_more_seldom(
    time: VirtualTime, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    polls: list[float] = []
    monkeypatch.setattr(consumer, "make_consumer", lambda *_: Forbidden(error, polls))
    store: Any = Seen(keeps_positions=False)
    await _for_a_minute(time, a_reader(store).run)
    assert 2 < len(polls) < TRIES_MAX


async def test_so_it_does_where_others_are_read_between(
    time: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls: list[float] = []
    error = TopicAuthorizationFailedError
    monkeypatch.setattr(consumer, "make_consumer", lambda *_: Forbidden(error, polls, well=1))
    store: Any = Seen(keeps_positions=False)
    reader = a_reader(store)
    await _for_a_minute(time, reader.run)
    assert len(store.messages) > 1
    assert reader.failures == len(store.messages)
    assert len(polls) < TRIES_MAX
    assert "no right to read topic payment.forward" in reader.away


@pytest.mark.parametrize("of", ["topics", "log"])
async def test_a_start_without_kafka_asks_ever_more_seldom(
    time: VirtualTime, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    asked: list[float] = []

    async def refused(*_: Any) -> None:
        asked.append(time.monotonic())
        raise TopicAuthorizationFailedError

    monkeypatch.setattr(runtime, "ensure_topics", refused)
    settings = SimpleNamespace(kafka=Cluster("127.0.0.1:1"))
    store = SimpleNamespace(is_new=refused)
    reader = SimpleNamespace(away="")

    async def start(stopping: asyncio.Event) -> None:
        node: Any = SimpleNamespace(
            service=SERVICE, settings=settings, store=store, consumer=reader, stopping=stopping
        )
        what = {"topics": runtime.prepare_topics, "log": runtime.refuse_what_is_lost}
        await what[of](node)

    await _for_a_minute(time, start)
    assert 2 < len(asked) < TRIES_MAX


class Contended:
    """Units of work to which another is always faster, and what it did is never to be seen."""

    def __init__(self) -> None:
        self.retries: list[bool] = []

    @asynccontextmanager
    async def begin(self, *, is_retry: bool = False) -> AsyncIterator[UnitOfWork]:
        self.retries.append(is_retry)
        yield self

    async def read(self, _messages: Sequence[Message]) -> Snapshot:
        return Snapshot()

    async def read_shared(self, _snapshot: Snapshot, _keys: frozenset[str]) -> None: ...

    async def commit(self, _result: BatchResult) -> None:
        raise ConcurrentChangeError("inbox")


async def test_conflicts_are_tried_so_many_times_with_pauses_and_then_told(
    time: VirtualTime,
) -> None:
    units, started = Contended(), time.monotonic()
    with pytest.raises(ConcurrentChangeError, match="faster"):
        await Handler(SERVICE, units).handle([a_message(captured())])
    assert units.retries == [False] + [True] * (CONFLICTS_MAX - 1)
    assert 0.1 < time.monotonic() - started < 2.0
