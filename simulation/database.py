"""A database in memory that keeps PostgreSQL's promises: READ COMMITTED, row locks, unique keys.

A transaction's writes are its own until it commits; then all show at once. Whoever wants to write
a row, or insert a key, that an open transaction has written waits for the end of that one and
looks again. The data outlive any process; transactions, locks and leadership end with the
connection.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias
from uuid import UUID

from chassis.decide import JournalRow, StoredAnswer
from chassis.errors import TransientError
from chassis.message import OperatorAction, OutboxRow, PendingEffect, Record
from chassis.store import DeadLetter
from simulation.due import Due
from simulation.process import servers_now

STATEMENT_S: Final = 30.0
"""A statement that waits for a lock so long fails, as the `command_timeout` of asyncpg has it."""

UNFLUSHED: Final = timedelta(seconds=0.6)
"""A lazy commit may be lost for three rounds of the WAL writer."""

Origin: TypeAlias = tuple[str, int, int]
TableName: TypeAlias = Literal[
    "own",
    "shared",
    "advisory",
    "inbox",
    "outbox",
    "effects",
    "parked",
    "answers",
    "actions",
    "journal",
    "published",
    "projected",
]
Lock: TypeAlias = tuple[TableName, Any]
TableRows: TypeAlias = defaultdict[TableName, dict[Any, Any]]


class Row(NamedTuple):
    """An order's own state; `version` counts its published events."""

    version: int
    state: Any


class OutboxEntry(NamedTuple):
    """A row of the outbox and when it was written."""

    row: OutboxRow
    at: datetime
    refused: str = ""


@dataclass(slots=True, eq=False)
class Database:
    """The data of one service: its tables, with their rows by primary key, and its connections.

    `statement` is awaited before each statement with its name, and as "committed" after a commit
    took effect: it may wait, raise, or never return. `on_commit` sees each transaction that wrote.
    A lazy commit (`synchronous_commit = off`) is on disk once a later one is that is not lazy, or
    by itself after a moment; until then the end of the server undoes it.
    """

    own: dict[str, Row] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    inbox: dict[UUID, datetime] = field(default_factory=dict)
    outbox: dict[int, OutboxEntry] = field(default_factory=dict)
    effects: dict[str, PendingEffect] = field(default_factory=dict)
    parked: dict[Origin, DeadLetter] = field(default_factory=dict)
    answers: dict[tuple[str, str], StoredAnswer] = field(default_factory=dict)
    actions: dict[int, tuple[datetime, OperatorAction]] = field(default_factory=dict)
    journal: dict[int, JournalRow] = field(default_factory=dict)
    published: dict[int, OutboxEntry] = field(default_factory=dict)
    projected: dict[tuple[str, str], Record] = field(default_factory=dict)

    statement: Callable[[str], Awaitable[None]] | None = None
    on_commit: list[Callable[["Transaction"], None]] = field(default_factory=list)
    due: Due = field(default_factory=Due)
    clients: list["Client"] = field(default_factory=list)
    leader: "Client | None" = None
    open: dict["Transaction", None] = field(default_factory=dict)
    locks: dict[Lock, "Transaction"] = field(default_factory=dict)
    unflushed: list["Transaction"] = field(default_factory=list)
    _last_id: int = 0

    def next_id(self) -> int:
        """A sequence: what it hands out is never handed out again, whatever becomes of it."""
        self._last_id += 1
        return self._last_id

    def disconnected(self, client: "Client") -> None:
        """All connections of a process end; what it has open rolls back."""
        client.connection += 1
        for transaction in [t for t in self.open if t.client is client]:
            transaction.end()
        if self.leader is client:
            self.leader = None

    def crashed(self, client: "Client") -> None:
        """The process is no more: none of its calls ever returns."""
        client.is_crashed = True
        self.clients.remove(client)
        self.disconnected(client)

    def restart(self, *, is_crash: bool = False) -> None:
        """All sessions end. A crash undoes what was committed lazily and is not on disk."""
        for client in self.clients:
            self.disconnected(client)
        for transaction in reversed(self.unflushed if is_crash else []):
            self._undo(transaction)
        self.unflushed.clear()

    def _table(self, name: TableName) -> dict[Any, Any]:
        table: dict[Any, Any] = getattr(self, name)
        return table

    def commit(self, transaction: "Transaction") -> None:
        """All that was written shows at once."""
        before = transaction.before
        for name, rows in transaction.after.items():
            table = self._table(name)
            before[name].update((key, table[key]) for key in rows if key in table)
            table.update(rows)
        for name, key in transaction.deleted:
            table = self._table(name)
            if key in table:
                before[name][key] = table.pop(key)
        for effect in transaction.after["effects"].values():
            self.due.add(effect)
        self._flush(transaction)
        transaction.end()
        if transaction.has_written:
            for notify in self.on_commit:
                notify(transaction)

    def _flush(self, transaction: "Transaction") -> None:
        if not transaction.is_lazy:
            self.unflushed.clear()
        elif transaction.has_written:
            self.unflushed = [t for t in self.unflushed if t.at > transaction.at - UNFLUSHED]
            self.unflushed.append(transaction)

    def _undo(self, transaction: "Transaction") -> None:
        for name, rows in transaction.after.items():
            for key in rows:
                del self._table(name)[key]
        for name, rows in transaction.before.items():
            self._table(name).update(rows)
        for effect in transaction.before["effects"].values():
            self.due.add(effect)


class Client:
    """The connections of one process, which end together."""

    database: Database
    connection: int = 0
    is_crashed: bool = False

    async def ask(self, statement: str, connection: int | None = None) -> None:
        """Send a statement. Raises TransientError if its connection ended meanwhile."""
        sent_on = self.connection if connection is None else connection
        if self.is_crashed or self.connection != sent_on:
            await self.fail()
        if self.database.statement is not None:
            await self.database.statement(statement)
            if self.is_crashed or self.connection != sent_on:
                await self.fail()

    async def fail(self) -> None:
        """As on a connection that is no more. Nothing of a process that crashed goes on."""
        if self.is_crashed:
            await asyncio.get_running_loop().create_future()
        raise TransientError("the connection was closed")


@dataclass(eq=False)
class Transaction:
    """Begins with a statement; rolled back at the end of its block if it was not committed.

    A write is made under the lock of its row. `before` are the rows that the commit replaced or deleted.
    """

    client: Client
    first: str = "begin"
    on: int | None = None
    is_lazy: bool = False
    before: TableRows = field(default_factory=lambda: defaultdict(dict))
    after: TableRows = field(default_factory=lambda: defaultdict(dict))
    deleted: dict[Lock, None] = field(default_factory=dict)
    waits_for: "Transaction | None" = None
    connection: int = field(init=False)
    at: datetime = field(init=False)
    _locks: list[Lock] = field(default_factory=list)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        await self.client.ask(self.first, self.on)
        self.connection, self.at = self.client.connection, servers_now()
        self.client.database.open[self] = None
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()

    @property
    def has_written(self) -> bool:
        return bool(self.deleted) or any(self.after.values())

    def statement(self, name: str) -> Awaitable[None]:
        return self.client.ask(name, self.connection)

    def get(self, table: TableName, key: Any) -> Any:
        """A row as this transaction sees it now; None if there is none."""
        if table in self.after and key in self.after[table]:
            return self.after[table][key]
        if self.deleted and (table, key) in self.deleted:
            return None
        return getattr(self.client.database, table).get(key)

    def put(self, table: TableName, key: Any, row: Any) -> None:
        self.after[table][key] = row
        self.deleted.pop((table, key), None)

    def delete(self, table: TableName, key: Any) -> None:
        self.after[table].pop(key, None)
        self.deleted[table, key] = None

    async def insert(self, table: TableName, key: Any, row: Any) -> bool:
        """ON CONFLICT DO NOTHING: says whether the key was free. One being inserted is waited for."""
        await self._free(table, key)
        if self.get(table, key) is not None:
            return False
        self._hold(table, key)
        self.put(table, key, row)
        return True

    async def lock(self, table: TableName, key: Any) -> None:
        """Hold a row, or a key that has none, to the end."""
        await self._free(table, key)
        self._hold(table, key)

    async def locked(self, table: TableName, key: Any) -> Any:
        """A row when it is held; None if there is none."""
        await self.lock(table, key)
        return self.get(table, key)

    def _hold(self, table: TableName, key: Any) -> None:
        locks = self.client.database.locks
        if (table, key) not in locks:
            locks[table, key] = self
            self._locks.append((table, key))

    async def _free(self, table: TableName, key: Any) -> None:
        locks = self.client.database.locks
        while (holder := locks.get((table, key), self)) is not self:
            await self._see_end_of(holder)

    async def _see_end_of(self, holder: "Transaction") -> None:
        other: Transaction | None = holder
        while other is not None:
            if other is self:
                raise TransientError("deadlock detected")
            other = other.waits_for
        self.waits_for = holder
        try:
            async with asyncio.timeout(STATEMENT_S):
                await holder._ended.wait()  # noqa: SLF001 - of its own class
        except TimeoutError as error:
            raise TransientError("a lock was not free in time") from error
        finally:
            self.waits_for = None
        if self.client.is_crashed or self.client.connection != self.connection:
            await self.client.fail()

    async def commit(self) -> None:
        await self.statement("commit")
        await self.settle()

    async def settle(self) -> None:
        """Commit with the statement that was just made; the reply may be lost."""
        self.client.database.commit(self)
        await self.statement("committed")

    def end(self) -> None:
        """Let go of all locks. What was not committed is as if it had never been."""
        database = self.client.database
        if self in database.open:
            del database.open[self]
            for lock in self._locks:
                del database.locks[lock]
            self._ended.set()
