"""Retention in PostgreSQL.

What was published stands in a table of its own, in one partition a day that is dropped as one: a broker may
lose what it has acknowledged. A day that has no partition yet goes into the default one, so that no
relay ever waits for one to be made. The inbox, and what requests were answered, are deleted in
chunks, the oldest first.
"""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import structlog

from chassis import byte_json, clock
from chassis.message import OutboxRow
from chassis.store_clock import JUMP_MAX, SKEW_MAX, doubt

log = structlog.get_logger()
CHUNK: Final = 2000
RETENTION_LOCK: Final = 0x5A6C
"""An advisory lock: one instance makes and drops partitions, and prunes."""
PRUNED_AT_ONCE: Final = 10_000
MANY: Final = timedelta(days=2)
"""What is deleted of more than this at once is logged as a warning."""
REMEMBERED: Final = {"inbox": "seen_at", "idempotency_keys": "created_at"}
"""By table the column that says how old a row is; there is an index on it."""

KEEP: Final = """
WITH moved AS (DELETE FROM outbox WHERE id = ANY($1::bigint[]) RETURNING id, topic, key, value, headers)
INSERT INTO published (id, topic, key, value, headers) SELECT id, topic, key, value, headers FROM moved
"""
DELETE: Final = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"
ANY: Final = "SELECT EXISTS (SELECT FROM published)"
ALL: Final = "SELECT topic, key, value, headers FROM published ORDER BY published_at, id"
PARTITIONS: Final = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'published'::regclass AND relname <> 'published_default'
"""
MAKE: Final = "SELECT make_published_partition($1)"
DROP: Final = "SELECT drop_published_partition($1)"
"""By functions of the owner of the tables: the role that runs may not change the schema."""
PRUNE: Final = """
WITH old AS MATERIALIZED (SELECT ctid FROM {table} WHERE {at} < $1 ORDER BY {at} LIMIT $2),
gone AS (DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM old)) RETURNING {at})
SELECT count(*), min({at}) FROM gone
"""
LOOK_AT_CLOCK: Final = """
INSERT INTO clock_marks AS mark (name, seen_at) VALUES ('keeping', now())
ON CONFLICT (name) DO UPDATE SET seen_at = now(), doubted_at = CASE
    WHEN now() BETWEEN mark.seen_at - $1::interval AND mark.seen_at + $2::interval
    THEN mark.doubted_at ELSE now()
END
RETURNING now(), doubted_at
"""


async def now_of(connection: Any) -> tuple[datetime, str]:
    """The database's time, and why nothing may be deleted by it; "" if nothing speaks against it.

    In a transaction that is to be committed either way: each look is compared with the one before.
    """
    row = await connection.fetchrow(LOOK_AT_CLOCK, SKEW_MAX, JUMP_MAX)
    return row[0], doubt(row[0], clock.now(), row[1])


async def prune_inbox(connection: Any, days: int) -> tuple[int, str]:
    """In a transaction: delete a chunk of inbox and answers that are old enough.

    Returns how many rows it was, and why nothing may be deleted.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", RETENTION_LOCK):
        return 0, ""
    now, why = await now_of(connection)
    if why:
        return 0, why
    oldest, pruned = now - timedelta(days=days), 0
    for table, at in REMEMBERED.items():
        query = PRUNE.format(table=table, at=at)
        rows, since = await connection.fetchrow(query, oldest, PRUNED_AT_ONCE)
        pruned += rows
        if since is not None and oldest - since > MANY:
            log.warning("pruned_of_many_days", table=table, since=str(since), until=str(oldest))
    return pruned, ""


async def rotate_partitions(connection: Any, days: int) -> str:
    """In a transaction: partitions for today and tomorrow, none of what was kept long enough.

    Days are those of the database, in UTC. Returns why nothing may be deleted.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", RETENTION_LOCK):
        return ""
    now, why = await now_of(connection)
    if why:
        return why
    await connection.execute("SET LOCAL lock_timeout = '2s'")  # relays queue behind who waits
    today = now.astimezone(UTC).date()
    oldest = today - timedelta(days=days)
    found = {row[0] for row in await connection.fetch(PARTITIONS)}
    gone = sorted(name for name in found if name < name_of(oldest))
    for name in gone:
        await connection.execute(DROP, day_of(name))
    await connection.execute(
        "DELETE FROM published_default WHERE published_at < $1", _start(oldest)
    )
    if gone:
        level = log.warning if len(gone) > MANY.days else log.info
        level("published_dropped", partitions=gone, before=str(oldest))
    for day in (today, today + timedelta(days=1)) if days else ():
        if name_of(day) not in found:
            await connection.execute(MAKE, day)
    return ""


def name_of(day: date) -> str:
    return f"published_{day:%Y%m%d}"


def day_of(name: str) -> date:
    return datetime.strptime(name, "published_%Y%m%d").replace(tzinfo=UTC).date()


async def kept_rows(connection: Any) -> AsyncIterator[list[OutboxRow]]:
    """In a transaction."""
    rows: list[OutboxRow] = []
    async for topic, key, value, headers in connection.cursor(ALL, prefetch=CHUNK):
        rows.append(OutboxRow(topic, key, value, byte_json.unpacked(headers)))
        if len(rows) == CHUNK:
            yield rows
            rows = []
    yield rows


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
