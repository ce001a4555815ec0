"""Backpressure: once orders take too long, a checkout is let in for each order that settles.

Whether they do is judged as CoDel judges a queue (Nichols and Jacobson, "Controlling Queue Delay", 2012):
by the least time that any of them took within an interval. A burst that drains by itself refuses nobody.
"""

import math
from dataclasses import dataclass

from chassis import clock
from chassis.bus import Committed
from order_svc.domain import Cancelled, Confirmed

INTERVAL_S = 1.0
FORGOTTEN_AFTER_S = 10.0  # where nothing settles, it is not known that orders would wait
ENOUGH = 10  # orders within an interval: a straggler on a quiet day says nothing of the rest
LET_IN = 0.9  # for each that settles: less than one, so that what waits gets less


@dataclass
class Admission:
    """`slow_s` is how long an order may take from checkout to confirmation; 0 lets all in."""

    slow_s: float
    _least_s: float = math.inf
    _since: float = -math.inf
    _seen: int = 0
    _slow: bool = False
    _room: float = 0.0

    def committed(self, event: Committed) -> None:
        """Count the orders that a commit has settled."""
        settled = [row.state for row in event.result.changed.values()]
        confirmed = [state for state in settled if isinstance(state, Confirmed)]
        self._room += LET_IN * sum(isinstance(state, Confirmed | Cancelled) for state in settled)
        if not confirmed:
            return
        now = clock.now()
        took_s = min((now - state.order.placed_at).total_seconds() for state in confirmed)
        self._least_s, self._seen = min(self._least_s, took_s), self._seen + len(confirmed)
        if clock.monotonic() >= self._since + INTERVAL_S:
            self._slow = self._seen >= ENOUGH and self._least_s > self.slow_s > 0
            self._room = min(self._room, LET_IN * len(settled))
            self._least_s, self._seen, self._since = math.inf, 0, clock.monotonic()

    def admits(self) -> bool:
        """Whether one more checkout is let in; it is counted if so."""
        if not self._slow or clock.monotonic() > self._since + FORGOTTEN_AFTER_S:
            return True
        if self._room < 1:
            return False
        self._room -= 1
        return True
