"""Requests that wait for something to become of their order: woken by whoever sees it here first."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from chassis import clock
from chassis.work import States, Work
from order_svc.domain import Cancelled, Confirmed

LOOK_EVERY_S = 0.25


@dataclass
class Waiting:
    _events: dict[str, asyncio.Event] = field(default_factory=dict)

    def told(self, order_ids: Iterable[str]) -> None:
        """It is so, of these orders."""
        for order_id in order_ids:
            if order_id in self._events:
                self._events[order_id].set()

    async def until(
        self, order_id: str, seconds: float, is_so: Callable[[], Awaitable[bool]]
    ) -> None:
        """Return when it is so or the time is over.

        Another instance may have seen to it, so the database is looked at from time to time.
        """
        event = self._events.setdefault(order_id, asyncio.Event())
        deadline = clock.monotonic() + seconds
        try:
            while (left := deadline - clock.monotonic()) > 0 and not event.is_set():
                if await is_so():
                    return
                await clock.wait_for(event, min(left, LOOK_EVERY_S))
        finally:
            self._events.pop(order_id, None)


def settled_in(_work: Work, states: States) -> list[str]:
    """The orders that a commit has settled."""
    return [k for k, row in states.changed.items() if isinstance(row.state, Confirmed | Cancelled)]
