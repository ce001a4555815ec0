"""A service's database, filled from its log.

What the log knows is filled: states, rows that orders share, the inbox (messages that led to an
event), effects and timers that are outstanding, timelines, projections. What it does not know
stays where it is kept in place, and is gone with a lost database: answers to idempotency keys, the
audit trail of operators, dead letters until they are read again.
"""

import asyncio
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Final

from chassis.decide import adapter_of
from chassis.postgres import Connection, PostgresDatabase, SharedTable, migrations
from chassis.service import Service
from guarantees.declared import configured, migrations_of, tables_of
from saga_cli import clients
from saga_cli.log.reader import by_number, parts_of
from saga_cli.log.source import LogPartition, Span
from saga_cli.progress import ReadProgress
from saga_cli.replay import mark, positions
from saga_cli.replay.job import NOT_PUBLISHED, Job, PartitionJob, Rebuilt, ReplayError
from saga_cli.replay.partition import fold_all
from saga_cli.verify.live import chunks

KEPT: Final = (
    *("alembic_version", "erasures", "idempotency_keys", "operator_actions", "replay_progress"),
)
"""Tables that a rebuild in place leaves alone; `published` and its partitions beside them."""
TABLES: Final = """
SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename != ALL($1::text[])
AND tablename NOT LIKE 'published%'
"""
OTHERS: Final = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
AND pid != pg_backend_pid() AND backend_type = 'client backend'
"""
COUNTS: Final = ("events", "orders", "effects")
SAVED_AT_ONCE: Final = 5000


def rebuild(job: Job, progress: ReadProgress) -> Rebuilt:
    """Raises ReplayError, HoleError, and what the servers' clients raise."""
    service = configured(job.service)
    planned = asyncio.run(_prepared(job, service))
    spans = {place: span for place, (span, _) in planned.items()}
    own = {place: span for place, span in spans.items() if place.topic in service.log_topics}
    other = {place: span for place, span in spans.items() if place not in own}
    projected = [PartitionJob(job, {p: span}, parts_of(other)) for p, span in other.items()]
    folded = [PartitionJob(job, each, parts_of(own)) for each in by_number(own)]
    done = {place for place, (_, is_folded) in planned.items() if is_folded}
    parts = [part for part in (*projected, *folded) if not part.spans.keys() <= done]
    progress(0, sum(part.length for part in parts))
    fold_all(parts, job.jobs, progress)
    ends = {place: span.end for place, (span, _) in planned.items()}
    return asyncio.run(_finished(job, service, ends))


async def _prepared(job: Job, service: Service) -> dict[LogPartition, tuple[Span, bool]]:
    """A schema without rows, and what is to be read into it; or what is left of a rebuild."""
    if not job.copy:
        await positions.refuse_members(job.places.kafka, service.name)
    async with clients.database(job.url) as connection:
        if others := await connection.fetchval(OTHERS):
            raise ReplayError(f"{others} others are connected to the database: stop the service")
    await migrations.migrate(migrations_of(service.name), PostgresDatabase.at(job.url))
    async with clients.database(job.url) as connection:
        if begun := await mark.planned(connection, job.up_to):
            return begun
        source = job.opened()
        spans = await source.spans(service.projections) | await job.spans(source)
        async with connection.transaction():
            await (_emptied if job.in_place else _refuse_rows)(connection)
            await mark.begin(connection, spans, job.up_to)
        return {place: (span, False) for place, span in spans.items()}


async def _refuse_rows(connection: Connection) -> None:
    for (table,) in await connection.fetch(TABLES, KEPT):
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})"):  # noqa: S608 - own names
            raise ReplayError(
                f"the database is not empty ({table} has rows): rebuild into a new one, or --in-place"
            )


async def _emptied(connection: Connection) -> None:
    if waiting := await connection.fetchval("SELECT count(*) FROM outbox"):
        raise ReplayError(f"{waiting} {NOT_PUBLISHED}")
    tables = ", ".join(row[0] for row in await connection.fetch(TABLES, KEPT))
    await connection.execute(f"TRUNCATE {tables}")


async def _finished(job: Job, service: Service, ends: Mapping[LogPartition, int]) -> Rebuilt:
    """What orders share is added up over all partitions; then the service may start."""
    async with clients.database(job.url) as connection, connection.transaction():
        parts, merged = await mark.all_folded(connection), dict[str, Any]()
        _, table = tables_of(service.name)
        if table is not None:
            merged = _merged(service, table, parts)
            for some in chunks(sorted(merged.items()), SAVED_AT_ONCE):
                await table.insert(connection, dict(some))
        events, orders, effects = (sum(p.get(name, 0) for p in parts) for name in COUNTS)
        rebuilt = Rebuilt(service.name, events, orders, len(merged), effects, jobs=job.jobs)
        if not job.copy:
            projected = {p: end for p, end in ends.items() if p.topic in service.projections}
            cluster = job.places.kafka
            rebuilt.rewound = await positions.rewind(cluster, service, projected)
        await mark.end(connection)
    return rebuilt


def _merged(
    service: Service, table: SharedTable, parts: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key, fields in chain.from_iterable(part.get("shared", {}).items() for part in parts):
        value = adapter_of(table.item).validate_python(fields)
        merged[key] = service.merge(merged[key], value) if key in merged else value
    return merged
