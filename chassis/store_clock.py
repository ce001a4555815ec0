"""The clock of a store, by which rows are old enough to be deleted: it wrote their times.

Nothing is deleted while that clock is in doubt.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

SKEW_MAX: Final = timedelta(minutes=5)
"""Between the clocks of the process and of the store; beyond it one of the two is wrong."""
JUMP_MAX: Final = timedelta(days=1)
"""Between two looks at the store's clock, which are an hour apart while a process of the service runs."""
HOLD: Final = timedelta(days=1)
"""For so long nothing is deleted after a jump: a clock that is wrong can be set right until then."""


def doubt(now: datetime, here: datetime, doubted_at: datetime | None) -> str:
    """Why nothing may be deleted at `now`, the store's time; `here` is the process's.

    `doubted_at` is when the store's clock was last seen to have jumped.
    """
    if abs(now - here) > SKEW_MAX:
        return f"the store's clock says {_second(now)}, this process's {_second(here)}"
    if doubted_at is not None and now < (until := doubted_at + HOLD):
        return f"the store's clock jumped to {_second(doubted_at)}; held until {_second(until)}"
    return ""


def _second(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(" ", "seconds")
