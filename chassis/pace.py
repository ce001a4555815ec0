"""Spaces out the batches of a loop under load, so that each takes what has come meanwhile."""

from dataclasses import dataclass

from chassis import clock


@dataclass
class Pace:
    """At most one batch each `every_s` seconds on average; `burst` of them may come early.

    A batch of one costs nearly what a batch of ten does: the process, its store and Kafka are woken, and
    so is the next service. A message that comes alone does not wait, as the loop was idle before it.
    """

    every_s: float = 0.0
    burst: int = 3
    _due_at: float = 0.0

    async def handled(self) -> None:
        """Wait until the next batch may be taken."""
        now = clock.monotonic()
        self._due_at = max(self._due_at, now) + self.every_s
        early_s = self._due_at - now - self.burst * self.every_s
        if early_s > 0:
            await clock.wait(early_s)
