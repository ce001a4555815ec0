"""An event loop with virtual time: it never sleeps, and a seed picks what runs next.

Of what is ready at one instant the order is drawn; an await with nothing to wait for still gives
way to whoever is ready. Where nobody is, time jumps to the next timer.
"""

import asyncio
import heapq
from collections.abc import Coroutine
from contextvars import Context
from itertools import count
from random import Random
from typing import Any, Final

from simulation.process import Process, current

START_S: Final = 1000.0


class StandstillError(RuntimeError):
    """Nothing is ready and no timer is set: the world would wait for ever."""


class SimulatedLoop(asyncio.BaseEventLoop):
    _ready: Any

    def __init__(self, choice: Random, steps_max: int) -> None:
        super().__init__()
        self.now_s = START_S
        self.steps = 0
        self.steps_max = steps_max
        self._shuffle = choice.shuffle
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = count()
        self.set_task_factory(_with_its_process)  # type: ignore[arg-type]  # a task of Python's own

    def time(self) -> float:
        return self.now_s

    def call_at(  # type: ignore[override]  # of any callable
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Timers of one instant stand in the order in which they were set, before the draw."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def resume(self, process: Process) -> None:
        """What was held of a paused process is ready now."""
        process.go_on()
        self._ready.extend(process.held)
        process.held.clear()

    def _run_once(self) -> None:
        batch = self._due()
        if len(batch) > 1:
            self._shuffle(batch)
        self.steps += len(batch)
        if self.steps > self.steps_max:
            raise StandstillError(f"no end after {self.steps} steps")
        for handle in batch:
            if handle._cancelled:  # noqa: SLF001 - a loop's own handles
                continue
            process = handle._context.get(current)  # noqa: SLF001
            if process is None or process.runs:
                handle._run()  # noqa: SLF001
            elif process.alive:
                process.held.append(handle)

    def _due(self) -> list[Any]:
        ready, timers = self._ready, self._timers
        if not ready:
            while timers and timers[0][2]._cancelled:  # noqa: SLF001
                heapq.heappop(timers)
            if not timers:
                raise StandstillError("nothing is ready, and nothing is due")
            self.now_s = max(self.now_s, timers[0][0])
        batch = list(ready)
        ready.clear()
        while timers and timers[0][0] <= self.now_s:
            batch.append(heapq.heappop(timers)[2])
        return batch

    def _write_to_self(self) -> None:
        """Nobody waits in a selector that would have to be woken."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It leaves the heap when its time comes."""


def _with_its_process(
    loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], context: Context | None = None
) -> "asyncio.Task[Any]":
    """A process holds its tasks: garbage collection would close those of a dead one."""
    task = asyncio.Task(coro, loop=loop, context=context)
    process = context.get(current) if context else current.get()
    if process is not None:
        process.tasks.append(task)
    return task
