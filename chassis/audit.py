"""What operators did, as lines of the service's log: the audit trail for whoever collects logs.

A line is written once the change is in the store. The audit trail of the store has the originals as well:
they may be personal, and are in no log.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from chassis import ids
from chassis.bus import Committed
from chassis.message import SKIP, OperatorAction
from chassis.store import DeadLetter, Inspection, RefusedRow, Whereabouts

log = structlog.get_logger()
EVENT: Final = "operator_action"
"""What the line's `event` is."""


def log_action(action: OperatorAction) -> None:
    """Write the line; with an id, as the same action may come twice."""
    log.info(
        EVENT,
        by=action.by,
        action=action.action,
        key=action.key,
        note=action.note,
        action_id=ids.new_id(),
    )


def committed(event: Committed) -> None:
    """A subscriber of the bus: what an operator had decided again, or recorded the outcome of."""
    for message, _ in event.decided():
        if message.operator is not None:
            log_action(message.operator)


@dataclass(frozen=True, slots=True)
class LoggedInspection:
    """A store's inspection; each change by it is logged."""

    inner: Inspection

    async def parked_keys(self) -> list[str]:
        return await self.inner.parked_keys()

    async def dead_letters(self, key: str) -> list[DeadLetter]:
        return await self.inner.dead_letters(key)

    async def whereabouts(self, key: str) -> Whereabouts:
        return await self.inner.whereabouts(key)

    async def refused(self, limit: int) -> list[RefusedRow]:
        return await self.inner.refused(limit)

    async def actions(self, key: str) -> list[tuple[datetime, OperatorAction]]:
        return await self.inner.actions(key)

    async def discard(self, key: str, by: str, reason: str, id_: str = "") -> DeadLetter | None:
        found = await self.inner.discard(key, by, reason, id_)
        if found is not None:
            log_action(OperatorAction(by, "discard", key, reason))
        return found

    async def release(self, id_: str, by: str, note: str) -> RefusedRow | None:
        return _logged(await self.inner.release(id_, by, note), by, "release", note)

    async def drop(self, id_: str, by: str, reason: str) -> RefusedRow | None:
        return _logged(await self.inner.drop(id_, by, reason), by, "drop", reason)

    async def expedite(self, key: str, by: str) -> int:
        count = await self.inner.expedite(key, by)
        if count:
            log_action(OperatorAction(by, "expedite", key, ""))
        return count

    async def skip(self, topic: str, partition: int, offset: int, by: str, note: str) -> None:
        await self.inner.skip(topic, partition, offset, by, note)
        log_action(OperatorAction(by, SKIP, f"{topic}:{partition}:{offset}", note))


def _logged(found: RefusedRow | None, by: str, action: str, note: str) -> RefusedRow | None:
    if found is not None:
        log_action(OperatorAction(by, action, found.row.key, note))
    return found
