"""Spaces out the batches of a loop under load, so that each takes what has come meanwhile."""

from dataclasses import dataclass
from typing import Final

from chassis import clock

LONE: Final = 0.25
"""What a batch of one order counts as, where a customer who waits for one after the other is not held up.

That makes some forty batches a second; a load makes hundreds.
"""


@dataclass
class Pace:
    """At most one batch each `every_s` seconds on average; `burst` of them may come early.

    A batch of one costs nearly what a batch of ten does: the process, its store and Kafka are woken, and
    so is the next service. A message that comes alone does not wait, as the loop was idle before it.

    A batch of one counts as `lone` of a batch: below 1, orders that are placed one after the other by
    somebody who waits for each are no load.
    """

    every_s: float = 0.0
    burst: int = 3
    lone: float = 1.0
    _due_at: float = 0.0

    async def handled(self, n: int) -> None:
        """Wait until the next batch may be taken, after one of `n`."""
        now = clock.monotonic()
        share = 1.0 if n > 1 else self.lone
        self._due_at = max(self._due_at, now) + self.every_s * share
        early_s = self._due_at - now - self.burst * self.every_s
        if early_s > 0:
            await clock.wait(early_s)
