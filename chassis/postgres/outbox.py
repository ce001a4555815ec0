"""The outbox in PostgreSQL, as the relay sees it: who leads, what is pending, what Kafka has."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import structlog

from chassis import byte_json
from chassis.errors import AccessError, LeadLostError, TransientError
from chassis.message import BATCH_BYTES, OutboxRow
from chassis.postgres import privileges, retention, sql
from chassis.postgres.database import PostgresDatabase
from chassis.postgres.types import POISON, TRANSIENT, Connection, Pool, condemns
from chassis.store import Pending

log = structlog.get_logger()
LOCK_CLASS: Final = 0x5A6A  # the relay's advisory lock, apart from other users of the database
LOCK: Final = 0
ROLE: Final = "SELECT current_user::text"


@dataclass(kw_only=True)
class PostgresOutbox:
    database: PostgresDatabase
    async_commit_pool: (
        Pool  # for bookkeeping whose loss only repeats a publish or a call with the same key
    )
    keep_days: int = 7
    dead_letter_topic: str = ""
    """The topic of dead letters' copies."""
    leading: Connection | None = None
    denied: str = ""
    """What the role was refused for lack of a right; "" once it has all of them."""
    _any_refused: bool = True  # until a look says that none is

    @property
    def leads(self) -> bool:
        try:
            return self.leading is not None and not self.leading.is_closed()
        except asyncpg.InterfaceError:  # the pool has taken it back: it is closed then
            return False

    async def lead(self) -> bool:
        if self.leading is not None:
            return True
        async with self.translated():
            connection = await self.async_commit_pool.acquire()
            try:
                if await connection.fetchval(sql.LEAD, LOCK_CLASS, LOCK):
                    self.leading, self._any_refused = connection, True
                    return True
            finally:
                if self.leading is not connection:
                    await self.async_commit_pool.release(connection)
            return False

    async def resign(self) -> None:
        self._drop()

    def _drop(self) -> None:
        session, self.leading = self.leading, None
        with suppress(asyncpg.InterfaceError):  # the pool has taken it back: it is closed then
            if session is not None:
                session.terminate()  # the lock goes with its session

    async def pending(
        self, limit: int, *shut: str, known: Mapping[str, OutboxRow] | None = None
    ) -> Pending:
        """Of rows that are known only the place in the order is read."""
        if self._any_refused:  # asked first: what is released after that is seen below
            self._any_refused = await self._as_leader("fetchval", sql.ANY_REFUSED)
        values: list[Any] = [limit, list(shut)]
        query = sql.PENDING
        if self._any_refused:
            query, values = sql.PENDING_BESIDE_REFUSED, [*values, self.dead_letter_topic]
        found = await self._as_leader("fetch", query, *values)
        ids = within(found, BATCH_BYTES)
        rows = {id_: row for id_ in ids if (row := (known or {}).get(str(id_))) is not None}
        if missing := [id_ for id_ in ids if id_ not in rows]:
            rows |= {
                id_: OutboxRow(topic, key, value, byte_json.unpacked(headers))
                for id_, topic, key, value, headers in await self._as_leader(
                    "fetch", sql.OUTBOX_ROWS, missing
                )
            }
        is_end = len(ids) < limit and len(ids) == len(found)
        there = [(str(id_), rows[id_]) for id_ in ids if id_ in rows]
        return Pending(there, is_end, self._any_refused)

    async def refuse(self, refused: Mapping[str, str]) -> None:
        numbers = [int(id_) for id_ in refused]
        why = [reason.replace("\0", "\\x00") for reason in refused.values()]
        self._any_refused = True
        await self._as_leader("execute", sql.REFUSE, numbers, why)

    async def acknowledge(self, ids: Sequence[str]) -> None:
        query = retention.KEEP if self.keep_days else retention.DELETE
        numbers = [int(id_) for id_ in ids]
        try:
            await self._as_leader("execute", query, numbers)
        except asyncpg.CheckViolationError:
            # the day's partition was attached while it waited for it
            await self._as_leader("execute", query, numbers)

    async def _as_leader(self, call: str, query: str, *values: Any) -> Any:
        """Use the session that holds the lock: if it is gone, so is the right to relay."""
        session = self.leading
        if session is None:
            raise LeadLostError("the session that led was given up")
        try:
            async with self.translated():
                return await getattr(session, call)(query, *values)
        except TransientError as error:
            self._drop()
            if error.__cause__ is not None and condemns(error.__cause__):
                raise LeadLostError(str(error)) from error
            raise

    @property
    def pools(self) -> tuple[Pool, ...]:
        return (self.async_commit_pool,)

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
            if isinstance(error, asyncpg.InsufficientPrivilegeError):
                self.denied = self.database.explained(error)
                raise AccessError(self.denied) from error
            raise TransientError(f"{type(error).__name__}: {error}") from error

    async def refuse_without_rights(self, connection: Connection) -> None:
        """Once a right was missing: raises AccessError until the role has all of them."""
        if self.denied and await privileges.lacking(connection, await connection.fetchval(ROLE)):
            raise AccessError(self.denied)
        self.denied = ""


def within(sizes: Iterable[tuple[int, int]], bytes_max: int) -> list[int]:
    """The first ids of (id, bytes) up to so many bytes, and one at least."""
    found: list[int] = []
    for id_, size in sizes:
        bytes_max -= size
        if found and bytes_max < 0:
            break
        found.append(id_)
    return found
