"""Named places where a test makes the process die, as a power cut would: no cleanup, no goodbye.

CHASSIS_CRASH_AT="published:3" kills the process when it passes the place for the third time.
Unset, which is always so in production, a place costs one comparison.
"""

import os
import signal
from typing import Final

COMMITTED: Final = "committed"  # the database has the batch, Kafka has nothing of it
PUBLISHED: Final = "published"  # Kafka has the events, the outbox has them still
HANDLED: Final = "handled"  # the batch is done, its offsets are not committed
LEASED: Final = "leased"  # an effect is this process's to run, the provider was not asked yet
REBUILDING: Final = "rebuilding"  # a part of the rebuilt state is written
CALLED: Final = "called"  # the provider has answered, the database doesn't know yet

_place, _, _count = os.environ.get("CHASSIS_CRASH_AT", "").partition(":")
_passes_left = int(_count or 1)


def reached(place: str) -> None:
    global _passes_left  # noqa: PLW0603 - one process, one plan
    if place != _place:
        return
    _passes_left -= 1
    if _passes_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
