"""A pooler between a service and its database.

One that gives each transaction another session can't be used: the relay leads by a lock of its session,
statements are prepared in a session, and settings hold in one. A pooler that gives a client one session to
the end can. What a session keeps is asked for in the simple protocol, as nothing else is safe to use yet.
"""

from contextlib import AsyncExitStack
from typing import Final

import asyncpg

from chassis import ids
from chassis.errors import CannotStartError
from chassis.postgres.database import PostgresDatabase
from chassis.postgres.types import Connection

BY_ANOTHER: Final = """
DO $$ BEGIN IF pg_backend_pid() <> {pid} THEN RAISE EXCEPTION USING ERRCODE = 'SAGA1'; END IF; END $$
"""
KEEP: Final = "SELECT set_config('saga.client', '{name}', false)"
IS_KEPT: Final = """
DO $$ BEGIN IF current_setting('saga.client', true) IS DISTINCT FROM '{name}' THEN
RAISE EXCEPTION USING ERRCODE = 'SAGA1'; END IF; END $$
"""
NO_TRANSACTIONS: Final = "statement pooling mode"
"""PgBouncer ends the connection with these words."""
NO: Final = "SAGA1"
"""The SQLSTATE of an answer; any other is an error."""


async def refuse_shared_sessions(database: PostgresDatabase, connection: Connection) -> None:
    """Raises CannotStartError where another client is given the session of `connection` in between."""
    if not await _says_no(connection, BY_ANOTHER.format(pid=connection.get_server_pid())):
        return  # the server itself: no pooler is in between
    name = ids.new_id()
    async with AsyncExitStack() as held:
        other = await database.connect()
        held.push_async_callback(other.close)
        await connection.execute(KEEP.format(name=name))
        # a pooler that shares hands it the session that is free now
        is_shared = not await _begins(other)
        if is_shared or await _says_no(connection, IS_KEPT.format(name=name)):
            raise CannotStartError(f"the database refuses us: {database.shares_sessions()}", code=2)


async def _begins(connection: Connection) -> bool:
    """False where not even a transaction keeps its session."""
    try:
        await connection.execute("BEGIN")
    except asyncpg.PostgresError as error:
        if NO_TRANSACTIONS in str(error):
            return False
        raise
    return True


async def _says_no(connection: Connection, question: str) -> bool:
    try:
        await connection.execute(question)
    except asyncpg.PostgresError as error:
        if error.sqlstate == NO:
            return True
        raise
    return False
