"""A simulated process: whose code is running, whether the loop still runs it, and what it reaches."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final


class Process:
    """Code of a process that is dead or paused is not resumed, so others must be told: `watchers`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.watchers: list[Callable[[], None]] = []
        self._alive = True
        self._paused = False
        self._reachable = True

    @property
    def alive(self) -> bool:
        return self._alive

    @alive.setter
    def alive(self, value: bool) -> None:
        self._alive = value
        self._tell()

    @property
    def paused(self) -> bool:
        return self._paused

    @paused.setter
    def paused(self, value: bool) -> None:
        self._paused = value
        self._tell()

    @property
    def reachable(self) -> bool:
        """Whether its network carries anything, one way or the other."""
        return self._reachable

    @reachable.setter
    def reachable(self, value: bool) -> None:
        self._reachable = value
        self._tell()

    @property
    def runs(self) -> bool:
        return self._alive and not self._paused

    def _tell(self) -> None:
        for watcher in tuple(self.watchers):
            watcher()


current: Final[ContextVar[Process | None]] = ContextVar("process", default=None)
