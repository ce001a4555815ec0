"""What a test looks up behind the port of a store, or does to it, in PostgreSQL and in memory."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg

from chassis.decide import BatchResult
from chassis.postgres.store import PostgresStore
from chassis.postgres.unit import PostgresUnit
from simulation.database import Transaction
from simulation.memory_store import MemoryStore
from simulation.memory_unit import MemoryUnit
from tests.support.waiting import until_async


class StoreProbe(Protocol):
    def unit(self, transaction: Any) -> Any:
        """A unit of work in a transaction that others end: its commit writes all."""

    async def shared_row(self, key: str) -> Any:
        """What a row that orders share holds."""

    async def timeline(self, key: str) -> list[tuple[str, str]]:
        """An order's timeline: what was consumed, and what was published."""

    async def waiting(self) -> int:
        """How many transactions of the store's database wait for a lock."""

    async def cut(self) -> None:
        """The server ends the session that leads; returns when the client has seen it."""


@dataclass(frozen=True)
class PostgresProbe:
    store: PostgresStore

    def unit(self, transaction: Any) -> PostgresUnit:
        store = self.store
        return PostgresUnit(transaction, store.own, store.shared, store.service.journal)

    async def shared_row(self, key: str) -> Any:
        assert self.store.shared is not None
        async with self.store.reading() as connection:
            return (await self.store.shared.load(connection, [key]))[key]

    async def timeline(self, key: str) -> list[tuple[str, str]]:
        query = "SELECT heard, said FROM timeline WHERE order_id = $1 ORDER BY id"
        async with self.store.reading() as connection:
            return [tuple(row) for row in await connection.fetch(query, key)]

    async def waiting(self) -> int:
        query = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        async with self.store.reading() as connection:
            return int(await connection.fetchval(query))

    async def cut(self) -> None:
        leading = self.store.leading
        assert leading is not None
        async with self.store.reading() as connection:
            query = "SELECT pg_terminate_backend($1)"
            assert await connection.fetchval(query, leading.get_server_pid())
        with suppress(asyncpg.InterfaceError):  # the pool has taken it back
            await until_async(leading.is_closed, 20, "the end of the session")


class _Uncommitted(MemoryUnit):
    async def commit(self, result: BatchResult) -> None:
        await self.write(result)


@dataclass(frozen=True)
class MemoryProbe:
    store: MemoryStore

    def unit(self, transaction: Transaction) -> MemoryUnit:
        return _Uncommitted(transaction, self.store.shared)

    async def shared_row(self, key: str) -> Any:
        return self.store.database.shared[key]

    async def timeline(self, key: str) -> list[tuple[str, str]]:
        journal = self.store.database.journal.values()
        return [(t.cause, t.published) for t in journal if t.key == key]

    async def waiting(self) -> int:
        return sum(t.waits_for is not None for t in self.store.database.open)

    async def cut(self) -> None:
        self.store.database.disconnected(self.store)
