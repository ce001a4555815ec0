"""An event loop with virtual time: it never sleeps, and a seed picks what runs next.

Of what is ready at one instant the order is drawn; an await with nothing to wait for still gives
way to whoever is ready. Where nobody is, time jumps to the next timer.
"""

import asyncio
import heapq
from collections.abc import Coroutine
from contextvars import Context, copy_context
from itertools import count
from random import Random
from typing import Any, Final

from simulation.process import Process, current

START_S: Final = 1000.0


class StandstillError(RuntimeError):
    """Nothing is ready and no timer is set: the world would wait for ever."""


class LoopStep(asyncio.TimerHandle):
    """What is to run, now or at a time; asyncio's own asks for debug mode each time."""

    __slots__ = ()
    _scheduled = False
    _repr = _source_traceback = None

    def __init__(
        self,
        when: float,
        callback: Any,
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        """It leaves the heap when its time comes."""
        self._cancelled = True
        self._callback, self._args = None, ()

    def run(self) -> None:
        process = self._context.get(current)
        if process is not None and not process.runs:
            if process.alive:
                process.held.append(self)
            return
        try:
            self._context.run(self._callback, *self._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - as asyncio's own handles do
            context = {"message": f"Exception in {self!r}", "exception": error}
            self._loop.call_exception_handler(context)


class SimulatedLoop(asyncio.BaseEventLoop):
    _ready: list[LoopStep]

    def __init__(self, choice: Random, steps_max: int) -> None:
        super().__init__()
        self.now_s = START_S
        self.steps = 0
        self.steps_max = steps_max
        self._shuffle = choice.shuffle
        self._ready = []
        self._timers: list[tuple[float, int, LoopStep]] = []
        self._numbers = count()
        self.set_task_factory(_with_its_process)  # type: ignore[arg-type]  # a task of Python's own

    def time(self) -> float:
        return self.now_s

    def call_soon(  # type: ignore[override]  # of any callable
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        step = LoopStep(0.0, callback, args, self, context)
        self._ready.append(step)
        return step

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # no selector has to be woken

    def call_later(  # type: ignore[override]  # of any callable
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # of any callable
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Timers of one instant stand in the order in which they were set, before the draw."""
        timer = LoopStep(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def close(self) -> None:
        super().close()
        self._timers.clear()

    def resume(self, process: Process) -> None:
        """What was held of a paused process is ready now."""
        process.go_on()
        self._ready.extend(process.held)
        process.held.clear()

    def _run_once(self) -> None:
        timers, batch, now_s = self._timers, self._ready, self.now_s
        self._ready = []
        if not batch:
            while timers and timers[0][2]._cancelled:  # noqa: SLF001 - a loop's own handles
                heapq.heappop(timers)
            if not timers:
                raise StandstillError("nothing is ready, and nothing is due")
            now_s = self.now_s = max(now_s, timers[0][0])
        while timers and timers[0][0] <= now_s:
            batch.append(heapq.heappop(timers)[2])
        if len(batch) > 1:
            self._shuffle(batch)
        self.steps += len(batch)
        if self.steps > self.steps_max:
            raise StandstillError(f"no end after {self.steps} steps")
        for step in batch:
            if not step._cancelled:  # noqa: SLF001
                step.run()


def _with_its_process(
    loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], context: Context | None = None
) -> "asyncio.Task[Any]":
    task = asyncio.Task(coro, loop=loop, context=context)
    process = context.get(current) if context else current.get()
    if process is not None:
        process.hold(task)
    return task
