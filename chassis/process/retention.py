"""What was published, decided and answered is kept for a time, and then deleted."""

import asyncio
from typing import Final

import structlog

from chassis import clock
from chassis.errors import ClockInDoubtError, TransientError
from chassis.health import Health
from chassis.store import Retention

log = structlog.get_logger()
EVERY_S: Final = 3600.0
PAUSE_S: Final = 0.05


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
