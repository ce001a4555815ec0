"""Puts the simulated world in the places where production code meets the real one.

Nothing in production code knows of it: the modules' own names are set, and set back afterwards.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from typing import Any, Final
from uuid import UUID

import structlog

from chassis import clock, crashpoints, ids
from simulation.process import current

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


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
    timer = loop.call_later(seconds, _give_up, waiter)
    try:
        return await waiter
    finally:
        timer.cancel()
        waiters.remove(waiter)


def _give_up(waiter: "asyncio.Future[bool]") -> None:
    if not waiter.done():
        waiter.set_result(False)


@contextmanager
def installed(
    loop: asyncio.AbstractEventLoop, choice: Random, reached: Callable[[str], None]
) -> Iterator[None]:
    """`reached` hears of crash points."""
    time = Clock(loop)

    def identity() -> UUID:
        return UUID(int=choice.getrandbits(128), version=4)

    places = (
        (clock, "time", time),
        (clock, "datetime", time),
        (clock, "random", choice),
        (clock, "wait_for", wait_for),
        (ids, "uuid7", identity),
        (crashpoints, "reached", reached),
    )
    with ExitStack() as kept:
        for place in places:
            kept.enter_context(replaced(*place))
        yield


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Another value in a module's or class's name, for a while."""
    real = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, real)


def silence() -> None:
    """Production code logs each fault; a run that is repeated with `--verbose` shows it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def told_with_time(loop: asyncio.AbstractEventLoop) -> None:
    """Production logs with the world's time and the process's name."""

    def add(_logger: Any, _method: str, event: Any) -> Any:
        process = current.get()
        event["at"], event["process"] = f"{loop.time():.4f}", process.name if process else "world"
        return event

    structlog.configure(
        processors=[
            add,
            structlog.processors.KeyValueRenderer(key_order=["at", "process", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        cache_logger_on_first_use=False,
    )
