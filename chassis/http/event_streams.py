"""Server-sent events (HTML Living Standard, section 9.2): how streams are sent, woken, limited and ended.

A stream follows one saga. It is woken by a commit of its own process, and for commits of the service's
other processes by one query for all sagas that are followed here, twice a second, while there are any.
"""

import asyncio
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Header
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from chassis import clock
from chassis.http.problems import Problem
from chassis.http.requests import IS_HEAD
from chassis.http.waiting import read_or_none
from chassis.metrics import HTTP_REFUSED

HEARTBEAT_S: Final = 15.0
"""How long a stream may be silent: proxies close what is idle for longer, mostly after 60 s."""
LONGEST_S: Final = 600.0
"""Then a stream ends, and its client asks again: with a token that is checked again."""
RETRY_MS: Final = 2000
AGAIN_S: Final = 1.0
"""After a read of the store that failed."""
POLL_S: Final = 0.5
PER_CALLER_MAX: Final = 10
"""Streams of one caller who sees only their own: as many tabs as a person has open."""
HEARTBEAT: Final = format_sse_event(comment="")

LastEventIdHeader = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        max_length=9,
        pattern="^[0-9]+$",
        description="The `id` of the last event that has come: the stream goes on after it.",
        examples=["1"],
    ),
]
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """`data` is one line."""

    id: int
    name: str
    data: bytes

    def encoded(self) -> bytes:
        """As it is sent."""
        return format_sse_event(data_str=self.data.decode(), event=self.name, id=str(self.id))


@dataclass(frozen=True, slots=True)
class StreamStep:
    """What a read found: events after those that were sent, and whether they are the last."""

    events: tuple[ServerEvent, ...]
    is_last: bool


@dataclass(eq=False, slots=True)
class Follower:
    """One open stream."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class EventStreams:
    """The open streams of a process, at most `most`."""

    service: str
    most: int
    stopping: asyncio.Event
    _following: dict[str, set[Follower]] = field(default_factory=dict)
    _by_caller: Counter[str] = field(default_factory=Counter)

    def notify(self, keys: Iterable[str]) -> None:
        """Wake the streams of these sagas."""
        if self._following:
            for key in keys:
                for follower in self._following.get(key, ()):
                    follower.changed.set()

    async def watch(
        self,
        count: Callable[[Collection[str]], Awaitable[Counts]],
        stopping: asyncio.Event,
    ) -> None:
        """Wake streams for what other processes commit; `count` tells how many events sagas have by now."""
        seen: dict[str, int] = {}
        while not await clock.wait_for(stopping, POLL_S):
            if not self._following:
                seen = {}
                continue
            found = await read_or_none(count(tuple(self._following))) or {}
            self.notify(key for key, number in found.items() if seen.get(key) != number)
            seen = {key: n for key, n in {**seen, **found}.items() if key in self._following}
        self.notify(tuple(self._following))

    def stream(
        self, key: str, caller: str, sent: int, read: Callable[[int], Awaitable[StreamStep]]
    ) -> "EventStream":
        """The answer that sends what `read` finds after a number of events, until they are the last.

        `caller` is "" for one without a limit of their own. The answer raises Problem where there are too
        many streams.
        """
        return EventStream(self, key, caller, lambda follower: self._events(follower, sent, read))

    @contextmanager
    def opened(self, key: str, caller: str) -> Iterator[Follower]:
        """A place for one more stream. Raises Problem: 503 if none is left, 429 to who has many."""
        if self._by_caller.total() >= self.most:
            raise self._refused(503, f"{self.most} event streams are open")
        if caller and self._by_caller[caller] >= PER_CALLER_MAX:
            raise self._refused(429, f"you have {PER_CALLER_MAX} event streams open")
        follower = Follower()
        self._by_caller[caller] += 1
        self._following.setdefault(key, set()).add(follower)
        try:
            yield follower
        finally:
            self._by_caller[caller] -= 1
            self._by_caller += Counter()  # without those who have none
            self._following[key].discard(follower)
            if not self._following[key]:
                del self._following[key]

    def _refused(self, status: int, why: str) -> Problem:
        HTTP_REFUSED.labels(self.service, "too_many_streams").inc()
        return Problem(status, "too_many_streams", why)

    async def _events(
        self, follower: Follower, sent: int, read: Callable[[int], Awaitable[StreamStep]]
    ) -> AsyncIterator[bytes]:
        yield format_sse_event(retry=RETRY_MS)
        until = clock.monotonic() + LONGEST_S
        while True:
            follower.changed.clear()
            step = await read_or_none(read(sent))
            for event in step.events if step else ():
                yield event.encoded()
                sent = event.id
            if (step and step.is_last) or self.stopping.is_set() or clock.monotonic() > until:
                return
            if not await clock.wait_for(follower.changed, HEARTBEAT_S if step else AGAIN_S):
                yield HEARTBEAT


class EventStream(EventSourceResponse):
    """A stream as a response: it has its place while it is sent."""

    def __init__(
        self,
        streams: EventStreams,
        key: str,
        caller: str,
        events: Callable[[Follower], AsyncIterator[bytes]],
    ) -> None:
        super().__init__((), headers={"X-Accel-Buffering": "no"})
        self._streams, self._key, self._caller, self._events = streams, key, caller, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get(IS_HEAD):
            await super().__call__(scope, receive, send)  # of nothing
            return
        with self._streams.opened(self._key, self._caller) as follower:
            self.body_iterator = self._events(follower)
            await super().__call__(scope, receive, send)
