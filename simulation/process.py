"""A simulated process: whose code is running, and whether the loop still runs any of it."""

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, Final


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
    context: Context = field(default_factory=copy_context)

    def __post_init__(self) -> None:
        self.context.run(current.set, self)

    def die(self) -> None:
        self.alive = self.runs = False
        self._tell()

    def pause(self) -> None:
        self.runs = False
        self._tell()

    def go_on(self) -> None:
        self.runs = self.alive
        self._tell()

    def connect(self, *, reachable: bool) -> None:
        self.reachable = reachable
        self._tell()

    def _tell(self) -> None:
        for watcher in tuple(self.watchers):
            watcher()


current: Final[ContextVar[Process | None]] = ContextVar("process", default=None)
