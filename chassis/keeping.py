"""What was published is kept for a time: a broker may lose what it has acknowledged.

It stands in a table of its own, in one partition a day that is dropped whole. A day that has none
yet goes into the default partition, so that no relay ever waits for one to be made.
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
"""An advisory lock: one instance makes and drops partitions."""

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


async def run(store: Store, stopping: asyncio.Event) -> None:
    """Tend what is kept, at start and from time to time; when that fails, the next time."""
    while not stopping.is_set():
        try:
            await store.tend()
        except TransientError as error:
            log.warning("keeping_not_tended", error=str(error))
        await clock.wait_for(stopping, EVERY_S)


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
