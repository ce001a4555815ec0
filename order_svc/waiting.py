"""Requests that wait for their order to settle: woken at commit, or by a look at the database."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from chassis import clock
from chassis.work import States, Work
from order_svc.domain import Cancelled, Confirmed

LOOK_EVERY_S = 0.25


@dataclass
class Waiting:
    _events: dict[str, asyncio.Event] = field(default_factory=dict)

    def told(self, _work: Work, states: States) -> None:
        for key, row in states.changed.items():
            if key in self._events and isinstance(row.state, Confirmed | Cancelled):
                self._events[key].set()

    async def settled(
        self, order_id: str, seconds: float, is_settled: Callable[[], Awaitable[bool]]
    ) -> None:
        """Return when the order is settled or the time is over.

        Another instance may settle it, so the database is looked at from time to time.
        """
        event = self._events.setdefault(order_id, asyncio.Event())
        deadline = clock.monotonic() + seconds
        try:
            while (left := deadline - clock.monotonic()) > 0 and not event.is_set():
                if await is_settled():
                    return
                await clock.wait_for(event, min(left, LOOK_EVERY_S))
        finally:
            self._events.pop(order_id, None)
