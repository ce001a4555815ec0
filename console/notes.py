"""What people write about a group of failures: one note each, which whoever writes next replaces."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from chassis.postgres import Connection
from console.model import GroupNote

KEPT: Final = """
INSERT INTO failure_notes (failure_group, text, "by", at) VALUES ($1, $2, $3, $4)
ON CONFLICT (failure_group) DO UPDATE SET text = excluded.text, "by" = excluded."by", at = excluded.at
"""
REMOVED: Final = "DELETE FROM failure_notes WHERE failure_group = $1"
KNOWN: Final = (
    'SELECT failure_group, text, "by", at FROM failure_notes WHERE failure_group = ANY($1)'
)


async def write_note(db: Connection, group: str, text: str, by: str, at: datetime) -> None:
    """In place of the one that was there; an empty text removes it."""
    if text:
        await db.execute(KEPT, group, text, by, at)
    else:
        await db.execute(REMOVED, group)


async def notes_on(db: Connection, groups: Iterable[str]) -> Mapping[str, GroupNote]:
    """Those that there are, by group."""
    rows = await db.fetch(KNOWN, list(groups))
    return {row[0]: GroupNote(*row[1:]) for row in rows}
