"""A service's schema is brought to its newest migration before it starts.

Alembic, and all that it needs, is loaded only where there is something to do: it is half of
the time of a start, and a fourth of its memory.
"""

import asyncio
from pathlib import Path

import asyncpg

from chassis.postgres_types import TRANSIENT


async def migrate(folder: Path, url: str) -> None:
    if await _revision(url) != newest(folder):
        from chassis import upgrading  # noqa: PLC0415 - see above

        await asyncio.to_thread(upgrading.upgrade, folder, url)


def newest(folder: Path) -> str:
    """The number that its file's name begins with."""
    return max(path.name.split("_")[0] for path in (folder / "versions").glob("[0-9]*_*.py"))


async def _revision(url: str) -> str | None:
    """None where there is none, or it can't be asked for: Alembic says why then."""
    try:
        connection = await asyncpg.connect(url, timeout=10, target_session_attrs="read-write")
        try:
            found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        finally:
            await connection.close()
    except TRANSIENT:
        return None
    return found
