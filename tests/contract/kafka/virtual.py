"""A loop whose time is virtual: it never waits, and runs nothing of a process that is not running."""

import asyncio
import contextlib
import selectors
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextvars import Context, copy_context
from typing import Any, TypeVarTuple, Unpack

from simulation.process import Process, close_loop, current

Args = TypeVarTuple("Args")


class Never(selectors.BaseSelector):
    """Nothing happens but what the loop itself has planned; to wait is to be there at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits, and for nothing"
        self.now += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._keys[fileobj] = key = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.never = Never()
        super().__init__(self.never)

    def time(self) -> float:
        return self.never.now

    def call_soon(
        self,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.Handle:
        context = copy_context() if context is None else context
        return super().call_soon(_guarded(self, callback, context), *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        return super().call_at(when, _guarded(self, callback, context), *args, context=context)


def _guarded(
    loop: VirtualLoop, callback: Callable[[Unpack[Args]], object], context: Context
) -> Callable[[Unpack[Args]], object]:
    process = context.get(current)
    if process is None:
        return callback

    def run(*args: *Args) -> None:
        if process.runs:
            callback(*args)
        elif process.alive:
            loop.call_later(0.1, callback, *args, context=context)

    return run


@contextlib.contextmanager
def inside(process: Process) -> Iterator[None]:
    """What is made and started here is the process's."""
    token = current.set(process)
    try:
        yield
    finally:
        current.reset(token)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """What else is running then is dropped: nothing of a dead process can be brought to an end."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(main())
    finally:
        close_loop(loop, asyncio.all_tasks(loop))
