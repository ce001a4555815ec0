"""HTTP requests that wait until their saga is settled, or in the log."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from chassis import clock
from chassis.errors import TransientError

POLL_S: Final = 0.25
READ_TIMEOUT_S: Final = 2.0

T = TypeVar("T")


@dataclass
class LocalWaiters:
    """The requests of this process that wait for one kind of change, by the saga's key."""

    events: dict[str, set[asyncio.Event]] = field(default_factory=dict)

    def notify(self, keys: Iterable[str]) -> None:
        """End the waits for these sagas: this process has seen the change."""
        for key in keys:
            for event in self.events.get(key, ()):
                event.set()

    async def wait(
        self,
        key: str,
        seconds: float,
        condition: Callable[[], Awaitable[bool]],
        stopping: asyncio.Event | None = None,
    ) -> bool:
        """Wait for a `notify` or until the condition holds; False if the time ends or the process stops.

        Another process may make the change, so the condition, which reads the database, is polled. A
        read that fails, or takes longer than READ_TIMEOUT_S, counts as false.
        """
        event, events = asyncio.Event(), self.events.setdefault(key, set())
        events.add(event)
        deadline = clock.monotonic() + seconds
        try:
            while not event.is_set():
                if await read_or_none(condition()):
                    return True
                left = deadline - clock.monotonic()
                if left <= 0 or (stopping and stopping.is_set()):
                    return False
                await clock.wait_for(event, min(left, POLL_S))
            return True
        finally:
            events.discard(event)
            if not events:
                self.events.pop(key, None)


async def read_or_none(read: Awaitable[T]) -> T | None:
    """The result of a read of the store; None if the store is unavailable or too slow."""
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await read
    except (TransientError, TimeoutError):
        return None
