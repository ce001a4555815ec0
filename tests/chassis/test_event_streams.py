"""Streams of events: what is sent and when, how many there may be, and how each ends."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from chassis.errors import TransientError
from chassis.http import EventStreams, Problem, ServerEvent, StreamStep, event_streams
from chassis.http.requests import IS_HEAD
from tests.support.waiting import until_async

SCOPE = {"type": "http", "asgi": {"spec_version": "2.4"}}


@dataclass
class Source:
    """The events of one order, which grow; `fails` reads fail first."""

    events: list[ServerEvent] = field(default_factory=list)
    is_last: bool = False
    reads: int = 0
    fails: int = 0

    def say(self, name: str, *, is_last: bool = False) -> None:
        self.events.append(ServerEvent(len(self.events) + 1, name, b"{}"))
        self.is_last = is_last

    async def read(self, sent: int) -> StreamStep:
        self.reads += 1
        if self.fails:
            self.fails -= 1
            raise TransientError("the store is away")
        return StreamStep(tuple(self.events[sent:]), self.is_last)


@dataclass
class Received:
    """What a client of a stream has got."""

    parts: list[bytes] = field(default_factory=list)
    status: int = 0

    async def send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.parts.append(message.get("body", b""))

    @property
    def text(self) -> str:
        return b"".join(self.parts).decode()


@pytest.fixture
def streams() -> EventStreams:
    return EventStreams("order", 3, asyncio.Event())


async def never() -> Any:
    await asyncio.Event().wait()


@asynccontextmanager
async def streaming(
    streams: EventStreams, source: Source, key: str = "o-1", caller: str = "", sent: int = 0
) -> AsyncIterator[tuple[Received, "asyncio.Task[None]"]]:
    got = Received()
    answer = streams.stream(key, caller, sent, source.read)
    task = asyncio.create_task(answer(SCOPE, never, got.send))
    try:
        await until_async(lambda: got.status or task.done(), 10, "a stream")
        yield got, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ended(task: "asyncio.Task[None]") -> None:
    await until_async(task.done, 10, "the end of a stream")
    await task


async def test_what_was_is_sent_then_what_comes_and_the_last_one_ends_it(
    streams: EventStreams,
) -> None:
    source = Source()
    source.say("step")
    async with streaming(streams, source) as (got, task):
        await until_async(lambda: "id: 1" in got.text, 10, "the first event")
        source.say("settled", is_last=True)
        streams.notify(["o-2"])
        streams.notify(["o-1"])
        await ended(task)
    assert got.text == (
        "retry: 2000\n\nevent: step\ndata: {}\nid: 1\n\nevent: settled\ndata: {}\nid: 2\n\n"
    )
    assert source.reads == 2


async def test_a_stream_goes_on_after_what_its_client_has(streams: EventStreams) -> None:
    source = Source()
    source.say("step")
    source.say("settled", is_last=True)
    async with streaming(streams, source, sent=1) as (got, task):
        await ended(task)
    assert "id: 1" not in got.text
    assert "id: 2" in got.text


async def test_it_ends_with_the_process_and_not_before_what_there_is_is_sent(
    streams: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_S", 3600.0)  # at which it would look as well
    source = Source()
    source.say("step")
    watch = asyncio.create_task(streams.watch(nothing, streams.stopping))
    async with streaming(streams, source) as (got, task):
        await until_async(lambda: "id: 1" in got.text, 10, "the first event")
        source.say("step")
        streams.stopping.set()
        await ended(task)
        assert "id: 2" in got.text
    await ended(watch)
    async with streaming(streams, source) as (late, task):
        await ended(task)
    assert "id: 2" in late.text


async def nothing(_keys: Collection[str]) -> Mapping[str, int]:
    return {}


async def test_what_other_processes_commit_is_seen_by_one_query_for_all(
    streams: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "POLL_S", 0.01)
    one, other = Source(), Source()
    asked: list[set[str]] = []

    async def count(keys: Collection[str]) -> Mapping[str, int]:
        asked.append(set(keys))
        return {"o-1": len(one.events), "o-2": len(other.events)}

    watch = asyncio.create_task(streams.watch(count, streams.stopping))
    async with streaming(streams, one) as (got, task), streaming(streams, other, "o-2"):
        await until_async(lambda: {"o-1", "o-2"} in asked, 10, "a look at both")
        await until_async(lambda: one.reads >= 2 and other.reads >= 2, 10, "the first wake")
        before = other.reads
        one.say("settled", is_last=True)
        await ended(task)
        assert "id: 1" in got.text
        assert other.reads == before
    streams.stopping.set()
    await ended(watch)
    assert all(asked)


async def test_a_silent_stream_has_heartbeats_and_a_failed_read_is_repeated(
    streams: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(event_streams, "AGAIN_S", 0.01)
    source = Source(fails=2)
    async with streaming(streams, source) as (got, task):
        await until_async(lambda: got.text.count(":") > 3, 10, "heartbeats")
        source.say("settled", is_last=True)
        await ended(task)
    assert got.text.startswith("retry: 2000\n\n: \n\n: \n\n")
    assert got.text.endswith("id: 1\n\n")


async def test_it_ends_after_its_longest_time(
    streams: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "LONGEST_S", -1.0)
    async with streaming(streams, Source()) as (got, task):
        await ended(task)
    assert got.text == "retry: 2000\n\n"


async def test_there_are_so_many_streams_and_the_place_of_one_that_ends_is_free(
    streams: EventStreams,
) -> None:
    with streams.opened("o-1", ""), streams.opened("o-2", ""):
        async with streaming(streams, Source()):
            with pytest.raises(Problem) as full, streams.opened("o-4", ""):
                pass
        with streams.opened("o-4", ""):
            pass
    assert (full.value.status, full.value.code) == (503, "too_many_streams")


async def test_a_caller_has_so_many_and_others_are_let_in(
    streams: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "PER_CALLER_MAX", 1)
    with streams.opened("o-1", "alice"):
        with pytest.raises(Problem) as refused, streams.opened("o-1", "alice"):
            pass
        with streams.opened("o-1", "bob"):
            pass
    with streams.opened("o-1", "alice"):
        pass
    assert (refused.value.status, refused.value.code) == (429, "too_many_streams")


async def test_head_is_answered_and_does_not_wait(streams: EventStreams) -> None:
    got = Received()
    answer = streams.stream("o-1", "", 0, Source().read)
    async with asyncio.timeout(30):
        await answer({**SCOPE, IS_HEAD: True}, never, got.send)
    assert (got.status, got.text) == (200, "")
