"""Requests that wait for something to become of their order: woken by whoever sees it here first."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from chassis import clock
from chassis.errors import TransientError
from chassis.work import States, Work
from order_svc.domain import Cancelled, Confirmed

LOOK_EVERY_S: Final = 0.25
LOOK_MAX_S: Final = 2.0

T = TypeVar("T")


@dataclass
class Waiting:
    _events: dict[str, asyncio.Event] = field(default_factory=dict)

    def told(self, order_ids: Iterable[str]) -> None:
        """It is so, of these orders."""
        for order_id in order_ids:
            if order_id in self._events:
                self._events[order_id].set()

    async def until(
        self,
        order_id: str,
        seconds: float,
        is_so: Callable[[], Awaitable[bool]],
        stopping: asyncio.Event | None = None,
    ) -> bool:
        """Return when it is so, the time is over, or the process stops; says whether it is so.

        Another instance may have seen to it, so the database is looked at from time to time. A look
        that fails, or takes longer than LOOK_MAX_S, says nothing.
        """
        event = self._events.setdefault(order_id, asyncio.Event())
        deadline = clock.monotonic() + seconds
        try:
            while not event.is_set():
                if await answered(is_so()):
                    return True
                left = deadline - clock.monotonic()
                if left <= 0 or (stopping and stopping.is_set()):
                    return False
                await clock.wait_for(event, min(left, LOOK_EVERY_S))
            return True
        finally:
            self._events.pop(order_id, None)


async def answered(look: Awaitable[T]) -> T | None:
    """What a look at the store says; None where it is away or takes too long."""
    try:
        async with asyncio.timeout(LOOK_MAX_S):
            return await look
    except (TransientError, TimeoutError):
        return None


def settled_in(_work: Work, states: States) -> list[str]:
    """The orders that a commit has settled."""
    return [k for k, row in states.changed.items() if isinstance(row.state, Confirmed | Cancelled)]
