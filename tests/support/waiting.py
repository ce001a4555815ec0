"""Waiting on progress: a test never sleeps for a time and hopes."""

import asyncio
import inspect
import os
import time
from collections.abc import Callable
from typing import Any, Final

PAUSE_S: Final = 0.02
"""Between the first looks."""
LATER_S: Final = 0.1
PATIENCE: Final = 4
"""Deadlines are so many times what a test names, which is ample where nothing else runs, and again so
many times as processes share a core: a wait that succeeds costs no more."""
LONGER: Final = 1.05
"""Each pause of `until` is so many times the one before, up to LATER_S; and three times of what
its look took of the CPU, where that is longer: a wait leaves the CPU to what it waits for."""


def until(look: Callable[[], Any], seconds: float = 60, what: str = "it never came") -> Any:
    """Look until there is something; past the deadline the test fails with what did not come."""
    seconds = patient(seconds)
    pause_s, deadline = PAUSE_S, time.monotonic() + seconds
    while True:
        began = time.thread_time()
        if found := look():
            return found
        assert time.monotonic() < deadline, _missing(what, seconds, found)
        time.sleep(max(pause_s, 3 * (time.thread_time() - began)))
        pause_s = min(LATER_S, pause_s * LONGER)


async def until_async(
    look: Callable[[], Any],
    seconds: float = 60,
    what: str = "it never came",
    pause_s: float = PAUSE_S,
) -> Any:
    """The same beside other tasks; `look` may be a coroutine function, which the deadline ends."""
    found: Any = None
    seconds = patient(seconds)
    try:
        async with asyncio.timeout(seconds) as limit:
            while True:
                answer = look()
                found = await answer if inspect.isawaitable(answer) else answer
                if found:
                    return found
                await asyncio.sleep(pause_s)
    except TimeoutError:
        assert not limit.expired(), _missing(what, seconds, found)
        raise


def patient(seconds: float) -> float:
    """The deadline of what takes so long where nothing else runs.

    A wait in vain is how many a deliberate bug is found (`saga mutants --real`).
    """
    if os.environ.get("SAGA_MUTANT"):
        return seconds
    return seconds * PATIENCE * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _missing(what: str, seconds: float, found: Any) -> str:
    return f"{what}: not within {seconds:g} s; the last look found {found!r}"
