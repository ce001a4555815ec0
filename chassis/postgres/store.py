"""The store in PostgreSQL.

A unit of work reads what it needs, and writes all of it in one statement: inbox, states, outbox and what
else follows. Whoever was slower than another writes nothing. A saga's row is written before its
outbox rows are numbered, so that no snapshot sees a later event of a saga without its earlier ones;
that is why the relay may read pending rows by id.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Self

import asyncpg

from chassis import clock
from chassis.decide import BatchResult, Snapshot, outbox_rows_of
from chassis.errors import ClockInDoubtError, UnusableStoreError
from chassis.events import dead_letters_of
from chassis.message import (
    ATTENTION_TRIES,
    REFUSED,
    SKIP,
    EffectProgress,
    Message,
    OperatorAction,
    OutboxRow,
    PendingEffect,
    Record,
    skipped_places,
)
from chassis.postgres import clauses, migrations, retention, sql, statement
from chassis.postgres.database import PostgresDatabase
from chassis.postgres.outbox import PostgresOutbox
from chassis.postgres.pooled import refuse_shared_sessions
from chassis.postgres.pools import pools_at
from chassis.postgres.projected import ProjectedTable
from chassis.postgres.state_tables import SharedTable, StateTable
from chassis.postgres.types import Connection, Pool
from chassis.postgres.unit import PostgresUnit
from chassis.service import LookUp, Service
from chassis.shared_queries import SharedQueries
from chassis.store import StoreBacklog

ARRIVES_WITHIN_S: Final = 0.5


@dataclass(kw_only=True)
class PostgresStore(PostgresOutbox):
    """Made by `connect`."""

    service: Service
    own: StateTable
    shared: SharedTable | None
    pool: Pool
    inbox_keep_days: int = 30
    keeps_positions: bool = False
    lost: bool = False
    is_durable: bool = True
    projected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when records are folded, and another from then on."""

    def __post_init__(self) -> None:
        self.dead_letter_topic = dead_letters_of(self.service.name)

    @classmethod
    async def connect(
        cls,
        service: Service,
        own: StateTable,
        shared: SharedTable | None,
        database: PostgresDatabase,
        *,
        keep_days: int = 7,
        inbox_keep_days: int = 30,
    ) -> Self:
        """Raises CannotStartError where the database refuses us or does not answer."""
        async with migrations.starting(database):
            pool, async_commit_pool = await pools_at(database)
            async with pool.acquire() as connection:
                await refuse_shared_sessions(database, connection)
        store = cls(
            database=database,
            async_commit_pool=async_commit_pool,
            keep_days=keep_days,
            inbox_keep_days=inbox_keep_days,
            service=service,
            own=own,
            shared=shared,
            pool=pool,
        )
        if await pool.fetchval(sql.IS_BEING_REBUILT):
            await store.close()
            raise UnusableStoreError("its database is being rebuilt: see `saga replay`")
        return store

    async def is_new(self) -> bool:
        query = sql.KNOWS_ANYTHING.format(own=self.own.table)
        async with self.reading() as connection:
            return not await connection.fetchval(query)

    @property
    def pools(self) -> tuple[Pool, ...]:
        return (self.pool, self.async_commit_pool)

    async def close(self) -> None:
        await self.resign()
        for pool in self.pools:
            pool.terminate()

    async def prepare(self, stopping: asyncio.Event) -> None:
        del stopping  # PostgreSQL is there with its data, or not at all

    @asynccontextmanager
    async def begin(self, *, is_retry: bool = False) -> AsyncIterator[PostgresUnit]:
        del is_retry  # it reads what the database has in any case
        async with self.translated(), self.pool.acquire() as connection:
            unit = PostgresUnit(connection, self.own, self.shared, self.service.journal)
            try:
                yield unit
            finally:
                await unit.end()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection to look things up. Raises TransientError when the database is away."""
        async with self.translated(), self.pool.acquire() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.pool.acquire() as connection, connection.transaction():
            yield connection

    async def note(self, connection: Connection, action: OperatorAction) -> None:
        await statement.run(connection, clauses.of_actions([action]))

    async def publish(
        self, connection: Connection, events: Iterable[tuple[Message, Any]]
    ) -> BatchResult:
        """Add events on which no rule decides to the outbox, in the transaction of the connection.

        Each comes with the message that led to it. The result is for the bus, once that is committed.
        """
        result = BatchResult(Snapshot())
        for message, event in events:
            rows, _ = outbox_rows_of(self.service, message, (event,), 0, message.traceparent)
            result.outbox += rows
        written = await statement.run(connection, clauses.of_outbox(result.outbox))
        result.outbox_ids = [str(id_) for id_ in written.get(clauses.OUTBOX, ())]
        return result

    async def project(self, records: Sequence[Record]) -> None:
        async with self.reading() as connection:
            for fold, some in self.service.projected(records):
                await fold(connection, some)
        self.projected.set()
        self.projected = asyncio.Event()

    def looking_up(self, table: ProjectedTable) -> LookUp:
        """Reads rows of one of its projections; one that is not there yet is waited for a moment."""

        async def rows_of(keys: set[str]) -> Mapping[str, Mapping[str, str] | None]:
            async with self.reading() as connection:
                return await table.rows_of(connection, keys)

        row_of = SharedQueries(rows_of)

        async def arrived(key: str) -> Mapping[str, str] | None:
            until = clock.monotonic() + ARRIVES_WITHIN_S
            while True:
                folded = self.projected
                row = await row_of(key)
                if row or not await clock.wait_for(folded, until - clock.monotonic()):
                    return row

        return arrived

    async def skipped(self) -> frozenset[tuple[str, int, int]]:
        async with self.reading() as connection:
            rows = await connection.fetch(sql.SKIPPED, SKIP)
        return skipped_places(row[0] for row in rows)

    async def positions(self) -> dict[tuple[str, int], int]:
        return {}

    async def reached(self, offsets: dict[tuple[str, int], int]) -> None:
        del offsets  # Kafka keeps them

    async def kept(self) -> AsyncIterator[list[OutboxRow]]:
        async with self.translated(), self.transaction() as connection:
            async for rows in retention.kept_rows(connection):
                yield rows

    async def keeps_any(self) -> bool:
        async with self.reading() as connection:
            return bool(await connection.fetchval(retention.ANY))

    async def rotate_partitions(self) -> None:
        async with self.translated(), self.transaction() as connection:
            why = await retention.rotate_partitions(connection, self.keep_days)
        if why:
            raise ClockInDoubtError(why)

    async def prune_inbox(self) -> int:
        async with (
            self.translated(),
            self.async_commit_pool.acquire() as connection,
            connection.transaction(),
        ):
            pruned, why = await retention.prune_inbox(connection, self.inbox_keep_days)
        if why:
            raise ClockInDoubtError(why)
        return pruned

    async def due_effects(
        self, kinds: tuple[str, ...], limit: int, lease_s: float, *, freshest: bool = False
    ) -> list[PendingEffect]:
        async with self.translated(), self.async_commit_pool.acquire() as connection:
            lease = timedelta(seconds=lease_s)
            query = sql.LEASE_FRESHEST if freshest else sql.LEASE_EFFECTS
            rows = await connection.fetch(query, list(kinds), limit, lease, self.dead_letter_topic)
        return [PendingEffect(*row) for row in rows]

    async def postpone(self, effect: PendingEffect, delay_s: float, error: str) -> None:
        async with self.translated(), self.async_commit_pool.acquire() as connection:
            await connection.execute(
                sql.POSTPONE, effect.id, timedelta(seconds=delay_s), error[:500]
            )

    async def backlog(self) -> StoreBacklog:
        async with self.translated(), self.async_commit_pool.acquire() as connection:
            kinds = self.service.stored_kinds(self.service.effects)
            await self.refuse_without_rights(connection)
            row = dict(await connection.fetchrow(sql.BACKLOG))
            if row.pop("is_read_only"):
                raise asyncpg.ReadOnlySQLTransactionError("its sessions are read-only")
            found = await connection.fetch(sql.EFFECTS_BACKLOG, kinds, ATTENTION_TRIES, REFUSED)
        effects = {(kind, EffectProgress(progress)): count for kind, progress, count in found}
        return StoreBacklog(**row, effects=effects)
