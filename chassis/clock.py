"""The only place that reads the time and waits, so that the domain never does."""

import asyncio
import random
import time
from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def monotonic() -> float:
    return time.monotonic()


async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set or the time is over; says whether it was set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def backoff_s(tries: int, *, base_s: float = 0.1, max_s: float = 30.0) -> float:
    """Exponential backoff with full jitter, in seconds."""
    return random.uniform(0.5, 1.0) * min(max_s, base_s * 2.0 ** min(tries, 20))  # noqa: S311 - jitter
