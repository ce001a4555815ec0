"""A service's live rows at one instant, read only."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import from_json
from redis.asyncio import Redis

from chassis import byte_json
from chassis.decide import adapter_of
from chassis.events import Envelope
from chassis.ids import entry_of
from chassis.message import OutboxRow, VersionedState
from chassis.postgres import SharedTable, StateTable
from chassis.redis import StateHash
from guarantees.declared import tables_of
from saga_cli.clients import database
from saga_cli.verify.results import apart

CHUNK: Final = 5000
HASHES: Final = 200
"""So many of Redis at most are read at once, in 1 to 2 ms."""
T = TypeVar("T")
PENDING: Final = "SELECT topic, key, value, headers FROM outbox ORDER BY id"
EFFECTS: Final = "SELECT key, array_agg(id) FROM effects GROUP BY key"


@dataclass(frozen=True, slots=True)
class LiveRow:
    """As it is stored; `columns` are what queries need beside the state."""

    version: int
    status: str
    detail: str
    columns: tuple[Any, ...] = ()


@dataclass(slots=True)
class Live(ABC):
    """`pending` are the rows of the outbox, `shared` all rows that orders share, as items of the domain.

    `shared` is None where those are compared apart. `remembers` is from when on the inbox is complete;
    None if it is empty. `effects` are ids of effects and timers, by order.
    """

    pending: list[OutboxRow]
    shared: Mapping[str, Any] | None = None
    remembers: datetime | None = None
    effects: Mapping[str, frozenset[str]] = field(default_factory=dict)
    table: StateTable | StateHash = field(kw_only=True)

    @abstractmethod
    async def rows(self, keys: Collection[str]) -> dict[str, LiveRow]:
        """Those of the orders that have one."""

    @abstractmethod
    async def other_than(self, compared: Collection[str]) -> list[tuple[str, LiveRow]]:
        """Rows of orders that were not compared."""

    @abstractmethod
    async def missing_causes(self, causes: Mapping[str, Envelope]) -> set[str]:
        """Which ids of messages the inbox lacks; each comes with an event that it led to."""

    def differs(self, row: LiveRow, rebuilt: VersionedState) -> tuple[str, str] | None:
        """Where the live row and the rebuilt one are apart, if they are, as this release reads them.

        A field that the release which wrote the row did not have is no difference.
        """
        try:
            state = self.table.state_of(row.status, row.detail)
        except (KeyError, ValidationError):  # it is no state of this release
            state = None
        kind, table = type(rebuilt.state), self.table
        columns = table.columns_of(rebuilt.state) if isinstance(table, StateTable) else ()
        if type(state) is kind and (state, row.columns) == (rebuilt.state, columns):
            return None
        detail, dump = from_json(row.detail), adapter_of(kind).dump_json
        added_up = from_json(dump(rebuilt.state))
        if type(state) is kind and row.columns == columns:
            read = from_json(dump(state))
            if _as_written(read, detail) == _as_written(added_up, detail):
                return None
        stored = {"status": row.status, **detail, "columns": row.columns}
        return apart(stored, {"status": kind.__name__, **added_up, "columns": columns})


def _as_written(found: Any, stored: Any) -> Any:
    """What of it is in the row as well, by the names of fields."""
    if not isinstance(found, dict) or not isinstance(stored, dict):
        return found
    return {name: _as_written(found[name], stored[name]) for name in found.keys() & stored.keys()}


@dataclass(slots=True, kw_only=True)
class InPostgres(Live):
    """All in one transaction, whose snapshot is of its first query."""

    connection: Any
    table: StateTable

    async def rows(self, keys: Collection[str]) -> dict[str, LiveRow]:
        query = f"{self._select} WHERE order_id = ANY($1::text[])"
        return {row[0]: _row(row) for row in await self.connection.fetch(query, list(keys))}

    async def other_than(self, compared: Collection[str]) -> list[tuple[str, LiveRow]]:
        query = f"SELECT count(*) FROM {self.table.table}"  # noqa: S608 - the project's own name
        if await self.connection.fetchval(query) == len(compared):
            return []
        cursor = self.connection.cursor(self._select, prefetch=CHUNK)
        return [(row[0], _row(row)) async for row in cursor if row[0] not in compared]

    async def missing_causes(self, causes: Mapping[str, Envelope]) -> set[str]:
        query = "SELECT message_id FROM inbox WHERE message_id = ANY($1::uuid[])"
        either = {  # release 0.1.0 entered the ids themselves
            id_: {UUID(id_), entry_of(led_to.subject, UUID(id_))} for id_, led_to in causes.items()
        }
        asked = [*chain.from_iterable(either.values())]
        present = {row[0] for row in await self.connection.fetch(query, asked)}
        return {id_ for id_, entries in either.items() if not entries & present}

    @property
    def _select(self) -> str:
        names = "".join(f", {name}" for name, _ in self.table.columns)
        return f"SELECT order_id, version, status, detail{names} FROM {self.table.table}"  # noqa: S608 - own names


@asynccontextmanager
async def in_postgres(service: str, url: str) -> AsyncIterator[InPostgres]:
    """A snapshot, for as long as it is open."""
    table, shared_table = tables_of(service)
    async with (
        database(url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        rows = await connection.fetch(PENDING)
        pending = [OutboxRow(t, key, value, byte_json.unpacked(h)) for t, key, value, h in rows]
        shared = await _shared(connection, shared_table) if shared_table else {}
        remembers = await connection.fetchval("SELECT min(seen_at) FROM inbox")
        effects = {key: frozenset(ids) for key, ids in await connection.fetch(EFFECTS)}
        yield InPostgres(pending, shared, remembers, effects, connection=connection, table=table)


async def _shared(connection: Any, table: SharedTable) -> dict[str, Any]:
    names = [*table.item.__dataclass_fields__]
    query = f"SELECT {table.key}, {', '.join(names)} FROM {table.table}"  # noqa: S608 - own names
    return {
        row[0]: table.item(**dict(zip(names, tuple(row)[1:], strict=True)))
        for row in await connection.fetch(query)
    }


def _row(row: Any) -> LiveRow:
    return LiveRow(row[1], row[2], row[3], tuple(row)[4:])


def shared_apart(live: Any, rebuilt: Any) -> tuple[str, str]:
    return apart(asdict(live) if live else {}, asdict(rebuilt) if rebuilt else {})


async def hashes(redis: Redis, prefix: str) -> AsyncIterator[tuple[str, dict[bytes, bytes]]]:
    """Every hash by the rest of its name, each read as a whole, in small commands."""
    names: set[bytes] = {n async for n in redis.scan_iter(match=f"{prefix}*", count=1000)}
    for some in chunks(sorted(names), HASHES):
        pipe = redis.pipeline(transaction=False)
        for name in some:
            pipe.hgetall(name)
        for name, found in zip(some, await pipe.execute(), strict=True):
            yield name.decode().removeprefix(prefix), found


def chunks(keys: Iterable[T], size: int) -> list[list[T]]:
    listed = list(keys)
    return [listed[n : n + size] for n in range(0, len(listed), size)]
