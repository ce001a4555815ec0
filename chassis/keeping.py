"""What was published is kept for a time: a broker may lose what it has acknowledged.

It stands in a table of its own, in one partition a day that is dropped whole. A day that has none
yet goes into the default partition, so that no relay ever waits for one to be made.

What was heard, and what requests were answered, is remembered for a longer time, and then let go of
in chunks, the oldest first.

How old a row is, is said by the clock that wrote it: the database's. Nothing is deleted while that
clock is in doubt, by `doubt`.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import structlog

from chassis import clock, wire
from chassis.errors import ClockInDoubtError, TransientError
from chassis.health import Health
from chassis.message import OutboxRow
from chassis.store import Store

log = structlog.get_logger()
EVERY_S: Final = 3600.0
CHUNK: Final = 2000
KEEPER: Final = 0x5A6C
"""An advisory lock: one instance makes and drops partitions, and forgets."""
FORGOTTEN_AT_ONCE: Final = 10_000
PAUSE_S: Final = 0.05
SKEW_MAX: Final = timedelta(minutes=5)
"""Between the clocks of the process and of the store; beyond it one of the two is wrong."""
JUMP_MAX: Final = timedelta(days=1)
"""Between two looks at the store's clock, which are an hour apart while a process of the service runs."""
HOLD: Final = timedelta(days=1)
"""For so long nothing is deleted after a jump: a clock that is wrong can be set right until then."""
MANY: Final = timedelta(days=2)
"""What is deleted of more than this at once is logged as a warning."""
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


async def run(store: Store, health: Health, stopping: asyncio.Event) -> None:
    """Tend what is kept, at start and from time to time; when that fails, the next time."""
    while not stopping.is_set():
        try:
            await store.tend()
            await _forget(store, stopping)
            health.clear("retention_held")
        except ClockInDoubtError as error:
            health.report("retention_held", str(error))
            log.error("retention_held", why=str(error))  # noqa: TRY400 - it says all there is to say
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


async def now_of(connection: Any) -> tuple[datetime, str]:
    """The database's time, and why nothing may be deleted by it; "" if nothing speaks against it.

    In a transaction that is to be committed either way: each look is compared with the one before.
    """
    row = await connection.fetchrow(LOOK_AT_CLOCK, SKEW_MAX, JUMP_MAX)
    return row[0], doubt(row[0], clock.now(), row[1])


def doubt(now: datetime, here: datetime, doubted_at: datetime | None) -> str:
    """Why nothing may be deleted at `now`, the store's time; `here` is the process's.

    `doubted_at` is when the store's clock was last seen to have jumped.
    """
    if abs(now - here) > SKEW_MAX:
        return f"the store's clock says {_second(now)}, this process's {_second(here)}"
    if doubted_at is not None and now < (until := doubted_at + HOLD):
        return f"the store's clock jumped to {_second(doubted_at)}; held until {_second(until)}"
    return ""


def _second(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(" ", "seconds")


async def forget(connection: Any, days: int) -> tuple[int, str]:
    """In a transaction: a chunk of what was remembered long enough.

    Returns how many rows it was, and why nothing may be deleted.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", KEEPER):
        return 0, ""
    now, why = await now_of(connection)
    if why:
        return 0, why
    oldest, forgotten = now - timedelta(days=days), 0
    for table, at in REMEMBERED.items():
        query = LET_GO.format(table=table, at=at)
        rows, since = await connection.fetchrow(query, oldest, FORGOTTEN_AT_ONCE)
        forgotten += rows
        if since is not None and oldest - since > MANY:
            log.warning("forgotten_of_many_days", table=table, since=str(since), until=str(oldest))
    return forgotten, ""


async def tend(connection: Any, days: int) -> str:
    """In a transaction: partitions for today and tomorrow, none of what was kept long enough.

    Days are those of the database, in UTC. Returns why nothing may be deleted.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", KEEPER):
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
        await connection.execute(f"DROP TABLE {name}")
    await connection.execute(
        "DELETE FROM published_default WHERE published_at < $1", _start(oldest)
    )
    if gone:
        level = log.warning if len(gone) > MANY.days else log.info
        level("published_dropped", partitions=gone, before=str(oldest))
    for day in (today, today + timedelta(days=1)) if days else ():
        if name_of(day) not in found:
            limits = {"start": _start(day), "end": _start(day + timedelta(days=1))}
            await connection.execute(MAKE.format(name=name_of(day), **limits))
    return ""


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
