"""Which simulated process the running code belongs to."""

import asyncio
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any


class PowerCutError(BaseException):
    """Unwinds what runs at the very place where its process dies; nothing else of it runs again."""


@dataclass(eq=False)
class Process:
    """One process of a service. `skew_s` is how far its clock is ahead.

    A dead one's coroutines are never resumed, so that no `finally` of theirs runs: as after SIGKILL.
    A paused one's wait, as after SIGSTOP.
    """

    name: str
    service: str = ""
    skew_s: float = 0.0
    alive: bool = True
    paused: bool = False
    held: list[asyncio.Handle] = field(default_factory=list)
    tasks: list["asyncio.Task[Any]"] = field(default_factory=list)
    node: Any = None
    context: Context = field(default_factory=copy_context)

    def __post_init__(self) -> None:
        self.context.run(current.set, self)


current: ContextVar[Process | None] = ContextVar("process", default=None)


def here() -> str:
    """The name of the running process; "world" outside of all of them."""
    process = current.get()
    return "world" if process is None else process.name
