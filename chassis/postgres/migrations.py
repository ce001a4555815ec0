"""A service's schema is brought to its newest migration before it starts.

Alembic, and all that it needs, is loaded only where there is something to do: it is half of
the time of a start, and a fourth of its memory.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg

from chassis.errors import AccessError, CannotStartError, SecretError
from chassis.postgres import privileges
from chassis.postgres.database import PostgresDatabase
from chassis.postgres.pooled import refuse_shared_sessions
from chassis.postgres.types import TRANSIENT, Connection
from chassis.process.settings import DatabaseSettings

LOCK: Final = 0x5A6B
"""An advisory lock: one instance changes the schema, or rights in it."""


async def migrated(folder: Path, settings: DatabaseSettings) -> PostgresDatabase:
    """A service's database, with the newest schema: a start begins with it. Raises as `migrate` does."""
    database = PostgresDatabase.of(settings)
    await migrate(folder, database, PostgresDatabase.owners(settings))
    return database


async def migrate(
    folder: Path, database: PostgresDatabase, owner: PostgresDatabase | None = None
) -> None:
    """The owner's role makes the tables, and lets that of `database` use them; without one it is the same.

    A schema that a later release has migrated is left as it is: migrations only add, so that an earlier
    release works on it, as when a deploy is taken back.

    Raises CannotStartError where the database refuses us or does not answer.
    """
    by = owner or database
    async with _session(by) as connection:
        role = database.role if owner else ""
        is_new = (await _revision(connection) or "") < newest(folder)
        is_granted = not role or await privileges.are_granted(connection, role)
    if is_new:
        from chassis.postgres import upgrading  # noqa: PLC0415 - see above

        await asyncio.to_thread(upgrading.upgrade, folder, by)
    if role and (is_new or not is_granted):
        await _grant(by, role)


def newest(folder: Path) -> str:
    """The number that its file's name begins with."""
    return max(path.name.split("_")[0] for path in (folder / "versions").glob("[0-9]*_*.py"))


async def _revision(connection: Connection) -> str | None:
    """None where there is none yet."""
    try:
        found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    return found


async def _grant(owner: PostgresDatabase, role: str) -> None:
    async with _session(owner) as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await privileges.grant(connection, role)


@asynccontextmanager
async def _session(database: PostgresDatabase) -> AsyncIterator[Connection]:
    async with starting(database):
        connection = await database.connect()
        try:
            await refuse_shared_sessions(database, connection)
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def starting(database: PostgresDatabase) -> AsyncIterator[None]:
    """Raises CannotStartError for what the database does not let us do, or does not answer."""
    try:
        yield
    except (AccessError, SecretError) as error:
        raise CannotStartError(f"the database refuses us: {error}", code=2) from error
    except TRANSIENT as error:
        why = database.explained(error) if isinstance(error, asyncpg.PostgresError) else ""
        if why:
            raise CannotStartError(f"the database refuses us: {why}", code=2) from error
        why = str(error) or "no answer within 10 s"
        raise CannotStartError(f"the database does not answer: {why}") from error
