"""A service's sessions of PostgreSQL: those that decide, and those for what may be lost."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import asyncpg

from chassis import statement_spans, tracing
from chassis.postgres.database import PostgresDatabase
from chassis.postgres.types import Connection, Pool

PLANNED_ONCE: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
}
"""Each statement goes by an index whatever a batch holds: it needs no new plan, and none for small tables."""

ENDED_SOON: Final = {
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "5000",
}
"""The server notices in five seconds that a machine is gone without a word: a lead goes with its session."""


async def pools_at(database: PostgresDatabase) -> tuple[Pool, Pool]:
    """The second for bookkeeping whose loss only repeats a publish or a call with the same key."""
    common: dict[str, Any] = {
        "connect": database.connect,
        "command_timeout": 30,
        "reset": no_reset,
    }
    settings = {**PLANNED_ONCE, **ENDED_SOON}
    init = partial(settle, settings=settings)
    pool = await asyncpg.create_pool(min_size=2, max_size=8, init=init, **common)
    init = partial(settle, settings={**settings, "synchronous_commit": "off"})
    async_commit_pool = await asyncpg.create_pool(min_size=1, max_size=4, init=init, **common)
    return pool, async_commit_pool


async def settle(connection: Connection, settings: Mapping[str, str]) -> None:
    """Not as parameters of the start: a pooler that gives a client one session refuses those."""
    await connection.execute("; ".join(f"SET {name} = {text}" for name, text in settings.items()))
    if tracing.records_statements():
        connection.add_query_logger(statement_spans.of_postgres)


async def no_reset(_: Connection) -> None:
    """No user of a pool changes a session, so that none has to be set back: a round trip less."""
