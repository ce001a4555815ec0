"""A service's schema is brought to its newest migration before it starts.

Alembic, and all that it needs, is loaded only where there is something to do: it is half of
the time of a start, and a fourth of its memory.
"""

import asyncio
from pathlib import Path
from typing import Final

import asyncpg

from chassis.errors import CannotStartError
from chassis.postgres.types import TRANSIENT

REFUSED: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
)
"""A server's no to the role, its password, the database or an option of the URL."""


async def migrate(folder: Path, url: str) -> None:
    """Raises CannotStartError where the database refuses us or does not answer."""
    if await _revision(url) != newest(folder):
        from chassis.postgres import upgrading  # noqa: PLC0415 - see above

        await asyncio.to_thread(upgrading.upgrade, folder, url)


def newest(folder: Path) -> str:
    """The number that its file's name begins with."""
    return max(path.name.split("_")[0] for path in (folder / "versions").glob("[0-9]*_*.py"))


async def _revision(url: str) -> str | None:
    """None where there is none yet. Raises CannotStartError."""
    try:
        connection = await asyncpg.connect(url, timeout=10, target_session_attrs="read-write")
        try:
            found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        finally:
            await connection.close()
    except asyncpg.UndefinedTableError:
        return None
    except REFUSED as error:
        raise CannotStartError(f"the database refuses us: {error}", code=2) from error
    except TRANSIENT as error:
        why = str(error) or "no answer within 10 s"
        raise CannotStartError(f"the database does not answer: {why}") from error
    return found
