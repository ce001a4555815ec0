"""A simulated process: whose code is running, and whether the loop still runs any of it."""

import asyncio
import gc
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from chassis import clock


class PowerCutError(BaseException):
    """Unwinds what runs at the very place where its process dies; nothing else of it runs again."""


@dataclass(eq=False)
class Process:
    """One process of a service. `skew_s` is how far its clock is ahead.

    A dead one's coroutines are never resumed, so that no `finally` of theirs runs: as after SIGKILL.
    A paused one's wait, as after SIGSTOP. Others, such as a broker, are told by `watchers`.
    """

    name: str
    service: str = ""
    skew_s: float = 0.0
    runs: bool = True
    alive: bool = True
    reachable: bool = True
    """Whether its network carries anything between it and Kafka, one way or the other."""
    node: Any = None
    watchers: list[Callable[[], None]] = field(default_factory=list)
    held: list[Any] = field(default_factory=list)
    tasks: list["asyncio.Task[Any]"] = field(default_factory=list)
    _tasks_max: int = 50
    context: Context = field(default_factory=copy_context)

    def __post_init__(self) -> None:
        self.context.run(current.set, self)

    def hold(self, task: "asyncio.Task[Any]") -> None:
        """Keep it until it is done: garbage collection would close one of a dead process."""
        if len(self.tasks) >= self._tasks_max:
            self.tasks = [task for task in self.tasks if not task.done()]
            self._tasks_max = 2 * len(self.tasks) + 50
        self.tasks.append(task)

    def die(self) -> None:
        self.alive = self.runs = False
        self._notify()

    def pause(self) -> None:
        self.runs = False
        self._notify()

    def go_on(self) -> None:
        self.runs = self.alive
        self._notify()

    def connect(self, *, reachable: bool) -> None:
        self.reachable = reachable
        self._notify()

    def _notify(self) -> None:
        for watcher in tuple(self.watchers):
            watcher()


current: Final[ContextVar[Process | None]] = ContextVar("process", default=None)
_OUTSIDE: Final = Context()


def servers_now() -> datetime:
    """The time by a server's clock, whichever process asks."""
    return _OUTSIDE.run(clock.now)


def close_loop(
    loop: asyncio.AbstractEventLoop,
    tasks: Iterable["asyncio.Task[Any]"],
    forget: Callable[[], None] = lambda: None,
) -> None:
    """End a loop whose tasks never came to their end: they died long ago, and have nothing to say.

    Left to the garbage collector, a `finally` of theirs would run in the middle of anything; what
    `forget` drops before leaves less for it.
    """
    loop.set_exception_handler(_ignore)
    hook, sys.unraisablehook = sys.unraisablehook, _ignore
    try:
        _end(tasks)
        loop.close()
        forget()
        gc.collect()
    finally:
        sys.unraisablehook = hook


def _end(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Apart from its caller, whose variable would keep the last task from the collector."""
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
        with suppress(BaseException):
            task.get_coro().close()


def _ignore(*_: Any) -> None:
    """Nobody is there to hear it."""
