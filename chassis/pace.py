"""Spaces out the batches of a loop under load, so that each takes what has come meanwhile."""

from dataclasses import dataclass

from chassis import clock


@dataclass
class Pace:
    """After a batch of `n` the next one is taken `every_s * (1 - 1/n)` seconds later than it, or later.

    A batch of one costs nearly what a batch of ten does: the process, its store and Kafka are woken, and
    so is the next service. What comes one by one waits for nothing; the more comes together, the
    longer the next batch is collected.
    """

    every_s: float = 0.0
    _taken_at: float = 0.0

    async def handled(self, n: int) -> None:
        """Wait until the next batch may be taken."""
        due_at = self._taken_at + self.every_s * (1 - 1 / max(n, 1))
        early_s = due_at - clock.monotonic()
        if early_s > 0:
            await clock.wait(early_s)
        self._taken_at = clock.monotonic()
