"""What was published is kept for a time: a broker may lose what it has acknowledged.

It stands in a table of its own, in one partition a day that is dropped whole. A day that has none
yet goes into the default partition, so that no relay ever waits for one to be made.

What was heard, and what requests were answered, is remembered for a longer time, and then let go of
in chunks, the oldest first.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import structlog

from chassis import clock, wire
from chassis.errors import TransientError
from chassis.message import OutboxRow
from chassis.store import Store

log = structlog.get_logger()
EVERY_S: Final = 3600.0
CHUNK: Final = 2000
KEEPER: Final = 0x5A6C
"""An advisory lock: one instance makes and drops partitions, and forgets."""
FORGOTTEN_AT_ONCE: Final = 10_000
PAUSE_S: Final = 0.05
REMEMBERED: Final = {"inbox": "seen_at", "idempotency_keys": "created_at"}
"""By table the column that says how old a row is; there is an index on it."""

KEEP: Final = """
WITH moved AS (DELETE FROM outbox WHERE id = ANY($1::bigint[]) RETURNING id, topic, key, value, headers)
INSERT INTO published (id, topic, key, value, headers) SELECT id, topic, key, value, headers FROM moved
"""
FORGET: Final = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"
ANY: Final = "SELECT EXISTS (SELECT FROM published)"
ALL: Final = "SELECT topic, key, value, headers FROM published ORDER BY published_at, id"
PARTITIONS: Final = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'published'::regclass AND relname <> 'published_default'
"""
MAKE: Final = """
LOCK TABLE published_default IN ACCESS EXCLUSIVE MODE;
CREATE TABLE {name} (LIKE published INCLUDING DEFAULTS);
WITH moved AS (
    DELETE FROM published_default WHERE published_at >= '{start}' AND published_at < '{end}' RETURNING *
)
INSERT INTO {name} SELECT * FROM moved;
ALTER TABLE published ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}');
"""
LET_GO: Final = """
WITH old AS MATERIALIZED (SELECT ctid FROM {table} WHERE {at} < $1 ORDER BY {at} LIMIT $2),
gone AS (DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM old)) RETURNING 1)
SELECT count(*) FROM gone
"""


async def run(store: Store, stopping: asyncio.Event) -> None:
    """Tend what is kept, at start and from time to time; when that fails, the next time."""
    while not stopping.is_set():
        try:
            await store.tend()
            await _forget(store, stopping)
        except TransientError as error:
            log.warning("keeping_not_tended", error=str(error))
        await clock.wait_for(stopping, EVERY_S)


async def _forget(store: Store, stopping: asyncio.Event) -> None:
    """Chunk by chunk, with pauses in which others have the table and vacuum can follow."""
    forgotten = 0
    try:
        while not stopping.is_set() and (some := await store.forget()):
            forgotten += some
            await clock.wait_for(stopping, PAUSE_S)
    finally:
        if forgotten:
            log.info("forgotten", rows=forgotten)


async def forget(connection: Any, days: int) -> int:
    """In a transaction: a chunk of what was remembered long enough; says how many rows it was."""
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", KEEPER):
        return 0
    oldest, forgotten = clock.now() - timedelta(days=days), 0
    for table, at in REMEMBERED.items():
        query = LET_GO.format(table=table, at=at)
        forgotten += await connection.fetchval(query, oldest, FORGOTTEN_AT_ONCE)
    return forgotten


async def tend(connection: Any, days: int) -> None:
    """In a transaction: partitions for today and tomorrow, none of what was kept long enough."""
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", KEEPER):
        return
    await connection.execute("SET LOCAL lock_timeout = '2s'")  # relays queue behind who waits
    today = clock.now().astimezone(UTC).date()
    oldest = today - timedelta(days=days)
    found = {row[0] for row in await connection.fetch(PARTITIONS)}
    for name in sorted(found):
        if name < name_of(oldest):
            await connection.execute(f"DROP TABLE {name}")
    await connection.execute(
        "DELETE FROM published_default WHERE published_at < $1", _start(oldest)
    )
    for day in (today, today + timedelta(days=1)) if days else ():
        if name_of(day) not in found:
            limits = {"start": _start(day), "end": _start(day + timedelta(days=1))}
            await connection.execute(MAKE.format(name=name_of(day), **limits))


def name_of(day: date) -> str:
    return f"published_{day:%Y%m%d}"


async def kept(connection: Any) -> AsyncIterator[list[OutboxRow]]:
    """In a transaction."""
    rows: list[OutboxRow] = []
    async for topic, key, value, headers in connection.cursor(ALL, prefetch=CHUNK):
        rows.append(OutboxRow(topic, key, value, wire.unpacked(headers)))
        if len(rows) == CHUNK:
            yield rows
            rows = []
    yield rows


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
