"""Waiting on progress: a test never sleeps for a time and hopes."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, Final

PAUSE_S: Final = 0.02
"""Between two looks; `until` waits as long as its look took of the CPU, where that is longer."""


def until(look: Callable[[], Any], seconds: float = 60, what: str = "it never came") -> Any:
    """Look until there is something; past the deadline the test fails with what did not come."""
    deadline = time.monotonic() + seconds
    while True:
        began = time.thread_time()
        if found := look():
            return found
        assert time.monotonic() < deadline, _missing(what, seconds, found)
        time.sleep(max(PAUSE_S, time.thread_time() - began))


async def until_async(
    look: Callable[[], Any],
    seconds: float = 60,
    what: str = "it never came",
    pause_s: float = PAUSE_S,
) -> Any:
    """The same beside other tasks; `look` may be a coroutine function, which the deadline ends."""
    found: Any = None
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


def _missing(what: str, seconds: float, found: Any) -> str:
    return f"{what}: not within {seconds} s; the last look found {found!r}"
