"""What was published, decided and answered is kept for a time, and then deleted.

How old a row is, is said by the clock that wrote it: the store's. Nothing is deleted while that clock is in
doubt, by `doubt`.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from chassis import clock
from chassis.errors import ClockInDoubtError, TransientError
from chassis.health import Health
from chassis.store import Retention

log = structlog.get_logger()
EVERY_S: Final = 3600.0
PAUSE_S: Final = 0.05
SKEW_MAX: Final = timedelta(minutes=5)
"""Between the clocks of the process and of the store; beyond it one of the two is wrong."""
JUMP_MAX: Final = timedelta(days=1)
"""Between two looks at the store's clock, which are an hour apart while a process of the service runs."""
HOLD: Final = timedelta(days=1)
"""For so long nothing is deleted after a jump: a clock that is wrong can be set right until then."""


async def run(store: Retention, health: Health, stopping: asyncio.Event) -> None:
    """Delete what is old, at start and from time to time; when that fails, the next time."""
    while not stopping.is_set():
        try:
            await store.rotate_partitions()
            await _prune(store, stopping)
            health.clear("retention_held")
        except ClockInDoubtError as error:
            health.report("retention_held", str(error))
            log.error("retention_held", why=str(error))  # noqa: TRY400 - it says all there is to say
        except TransientError as error:
            log.warning("retention_failed", error=str(error))
        await clock.wait_for(stopping, EVERY_S)


async def _prune(store: Retention, stopping: asyncio.Event) -> None:
    """Chunk by chunk, with pauses in which others have the table and vacuum can follow."""
    pruned = 0
    try:
        while not stopping.is_set() and (some := await store.prune_inbox()):
            pruned += some
            await clock.wait_for(stopping, PAUSE_S)
    finally:
        if pruned:
            log.info("pruned", rows=pruned)


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
