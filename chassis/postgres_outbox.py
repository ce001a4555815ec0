"""The outbox in PostgreSQL, as the relay sees it: who leads, what is pending, what Kafka has."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import structlog

from chassis import keeping, wire
from chassis import postgres_sql as sql
from chassis.errors import TransientError
from chassis.fresh import Fresh
from chassis.message import OutboxRow
from chassis.postgres_types import POISON, TRANSIENT, Connection, Pool, condemns

log = structlog.get_logger()
LOCK_CLASS: Final = 0x5A6A  # advisory locks of relays, apart from other users of the database


@dataclass(kw_only=True)
class PostgresOutbox:
    aside: Pool  # for bookkeeping whose loss only repeats a publish or a call with the same key
    keep_days: int = 7
    shards: int = 1
    fresh: Fresh = field(default_factory=Fresh)
    _leading: dict[int, Connection] = field(default_factory=dict)

    async def lead(self, shard: int) -> bool:
        if shard in self._leading:
            return True
        async with self.translated():
            connection = await self.aside.acquire()
            try:
                query = "SELECT pg_try_advisory_lock($1, $2)"
                if await connection.fetchval(query, LOCK_CLASS, shard):
                    self._leading[shard] = connection
                    return True
            finally:
                if shard not in self._leading:
                    await self.aside.release(connection)
            return False

    async def resign(self) -> None:
        for shard in list(self._leading):
            self._drop(shard)

    def _drop(self, shard: int) -> None:
        with suppress(asyncpg.InterfaceError):  # the pool has taken it back: it is closed then
            if (session := self._leading.pop(shard, None)) is not None:
                session.terminate()  # the lock goes with its session
        self.fresh.clear()

    def at_hand(self, shard: int, limit: int) -> list[tuple[str, OutboxRow]] | None:
        is_known = shard in self._leading and self.shards == 1 and self.fresh.is_all
        return self.fresh.first(limit) if is_known else None

    async def pending(self, shard: int, limit: int) -> list[tuple[str, OutboxRow]]:
        """What this process wrote itself is at hand: only its place in the order is read."""
        query = "SELECT id FROM outbox WHERE shard = $1 ORDER BY id LIMIT $2"
        self.fresh.looking()
        ids = [row[0] for row in await self._as_leader(shard, "fetch", query, shard, limit)]
        rows = self.fresh.of(ids)
        missing = [id_ for id_ in ids if id_ not in rows]
        self.fresh.looked(is_end=len(ids) < limit, is_own=not missing)
        if missing:
            rows |= {
                id_: OutboxRow(topic, key, value, wire.unpacked(headers))
                for id_, topic, key, value, headers in await self._as_leader(
                    shard, "fetch", sql.OUTBOX_ROWS, missing
                )
            }
        return [(str(id_), rows[id_]) for id_ in ids if id_ in rows]

    async def acknowledge(self, shard: int, ids: Sequence[str]) -> None:
        query = keeping.KEEP if self.keep_days else keeping.FORGET
        numbers = [int(id_) for id_ in ids]
        try:
            await self._as_leader(shard, "execute", query, numbers)
        except (
            asyncpg.CheckViolationError
        ):  # the day's partition was attached while it waited for it
            await self._as_leader(shard, "execute", query, numbers)
        self.fresh.forget(numbers)

    async def _as_leader(self, shard: int, call: str, query: str, *values: Any) -> Any:
        """Use the session that holds the lock: if it is gone, so is the right to relay."""
        try:
            async with self.translated():
                return await getattr(self._leading[shard], call)(query, *values)
        except TransientError:
            self._drop(shard)
            raise

    @property
    def pools(self) -> tuple[Pool, ...]:
        return (self.aside,)

    @asynccontextmanager
    async def translated(self) -> AsyncIterator[None]:
        """An error of the session or the server passes; one of the data is the caller's to isolate.

        Sessions that are condemned are replaced, all of them: each would fail once more. Whoever uses
        one keeps it until then; the leader's is ended at once, as its lock may be on another server.
        """
        try:
            yield
        except POISON:
            raise
        except TRANSIENT as error:
            if condemns(error):
                log.warning("sessions_replaced", error=f"{type(error).__name__}: {error}")
                for pool in self.pools:
                    await pool.expire_connections()
                await self.resign()
            raise TransientError(f"{type(error).__name__}: {error}") from error
