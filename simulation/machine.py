"""Puts the simulated world in the places where production code meets the real one.

Nothing in production code knows of it: the modules' own names are set, and set back afterwards.
"""

import asyncio
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from typing import Any, Final, TypeAlias
from uuid import UUID

import structlog

from chassis import clock, crashpoints, ids
from simulation.process import current
from simulation.waiters import give_up

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
PatchedAttribute: TypeAlias = tuple[Any, str, Any]
"""A module or class, the name in it, and what stands there for a while."""
_BUG: Final = re.compile(r"\b(TypeError|AttributeError|NameError|UnboundLocalError)\b")


@dataclass(frozen=True, slots=True)
class Clock:
    """Stands for the modules `time` and `datetime` in chassis.clock."""

    loop: asyncio.AbstractEventLoop

    def monotonic(self) -> float:
        return self.loop.time()

    def now(self, _zone: tzinfo) -> datetime:
        """The world's time, and the error of the process's own clock."""
        process = current.get()
        skew_s = process.skew_s if process is not None else 0.0
        return EPOCH + timedelta(seconds=self.loop.time() + skew_s)


async def wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Stands for chassis.clock.wait_for: the same, without the machinery of a timeout."""
    if event.is_set():
        return True
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[bool] = loop.create_future()
    waiters = event._waiters  # noqa: SLF001 - as its own `wait` does
    waiters.append(waiter)
    timer = loop.call_later(seconds, give_up, waiter)
    try:
        return await waiter
    finally:
        timer.cancel()
        waiters.remove(waiter)


def places_of(
    loop: asyncio.AbstractEventLoop, choice: Random, reached: Callable[[str], None]
) -> tuple[PatchedAttribute, ...]:
    """What stands for time, chance and identity; `reached` is called at crash points."""
    time = Clock(loop)

    def identity() -> UUID:
        return UUID(int=choice.getrandbits(128), version=4)

    return (
        (clock, "time", time),
        (clock, "datetime", time),
        (clock, "random", choice),
        (clock, "wait_for", wait_for),
        (ids, "uuid7", identity),
        (crashpoints, "reached", reached),
    )


@contextmanager
def replaced(*places: PatchedAttribute) -> Iterator[None]:
    """Another value in each name, for a while."""
    real = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    try:
        for place in places:
            setattr(*place)
        yield
    finally:
        for place in real:
            setattr(*place)


def bug_in(error: object) -> list[str]:
    """An error as one line in a list, where it is a programming error or was raised by one."""
    text = error if isinstance(error, str) else repr(error)
    return [text] if _BUG.search(text) else []


def silence(bugs: list[str]) -> None:
    """Production code logs each fault, which a run repeated with `--verbose` shows.

    A programming error among what is logged as a warning or worse is added to `bugs`.
    """

    def only_bugs(_logger: Any, _method: str, event: Any) -> Any:
        _note_bug(event, bugs)
        raise structlog.DropEvent

    _log_by(logging.WARNING, only_bugs)


def _log_by(level: int, *processors: Any) -> None:
    logger = structlog.make_filtering_bound_logger(level)
    structlog.configure(processors, wrapper_class=logger, cache_logger_on_first_use=False)


def _note_bug(event: Any, bugs: list[str]) -> None:
    """Wherever in the line it stands; `exc_info` may be an error, or the one that is being handled."""
    raised = event.get("exc_info")
    bugs += bug_in(repr({**event, "exc_info": sys.exc_info()[1] if raised is True else raised}))


def collect_errors(loop: asyncio.AbstractEventLoop, bugs: list[str]) -> None:
    """Production logs with the world's time and the process's name."""

    def add(_logger: Any, method: str, event: Any) -> Any:
        if method not in {"debug", "info"}:
            _note_bug(event, bugs)
        process = current.get()
        event["at"], event["process"] = f"{loop.time():.4f}", process.name if process else "world"
        return event

    order = ["at", "process", "event"]
    _log_by(logging.NOTSET, add, structlog.processors.KeyValueRenderer(key_order=order))
