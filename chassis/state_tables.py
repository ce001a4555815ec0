"""How states become rows: one versioned row an order, and plain rows that orders share."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter

from chassis import postgres_sql as sql
from chassis import together
from chassis.message import Change
from chassis.postgres_types import Connection
from chassis.together import Part, columns, unnested


@dataclass(frozen=True)
class StateTable:
    """One row an order: its version, the name of its state and the state itself.

    `columns_of` adds columns that queries need, as (name, SQL type) -> value.
    """

    table: str
    states: tuple[type[Any], ...]
    columns: tuple[tuple[str, str], ...] = ()
    columns_of: Callable[[Any], tuple[Any, ...]] = lambda _state: ()

    @cached_property
    def _adapters(self) -> dict[str, TypeAdapter[Any]]:
        return {state.__name__: TypeAdapter(state) for state in self.states}

    @cached_property
    def _columns(self) -> tuple[tuple[str, str], ...]:
        fixed = (("order_id", "text"), ("version", "int"), ("status", "text"), ("detail", "text"))
        return (*fixed, *self.columns)

    @cached_property
    def _rows(self) -> str:
        names = ", ".join(name for name, _ in self._columns)
        return f"{unnested(kind for _, kind in self._columns)} AS new ({names})"

    @cached_property
    def _select(self) -> str:
        return (
            f"SELECT order_id, version, status, detail FROM {self.table}"  # noqa: S608 - own names
            " WHERE order_id = ANY($1::text[])"
        )

    @cached_property
    def _insert(self) -> str:
        names = ", ".join(name for name, _ in self._columns)
        values = ", ".join("detail::jsonb" if n == "detail" else n for n, _ in self._columns)
        return (
            f"INSERT INTO {self.table} ({names}) SELECT {values} FROM {self._rows}"  # noqa: S608
            " ON CONFLICT (order_id) DO NOTHING RETURNING 1"
        )

    @cached_property
    def _update(self) -> str:
        names = [name for name, _ in self._columns if name != "order_id"]
        sets = ", ".join(
            f"{n} = new.{n}::jsonb" if n == "detail" else f"{n} = new.{n}" for n in names
        )
        was = len(self._columns) + 1
        rows = self._rows.replace(") AS new (", f", ${was}::int[]) AS new (").removesuffix(")")
        return (
            f"UPDATE {self.table} AS old SET {sets} FROM {rows}, was)"  # noqa: S608
            " WHERE old.order_id = new.order_id AND old.version = new.was RETURNING 1"
        )

    def state_of(self, status: str, detail: str) -> Any:
        return self._adapters[status].validate_json(detail)

    @cached_property
    def reading(self) -> str:
        """Which of $1, ids, the inbox has; and what is known of $2, orders: parked ones, and their rows."""
        columns = ("order_id", "version", "status", "detail::text")
        arrays = ", ".join(f"array_agg({column})" for column in columns)
        return (
            f"{sql.KNOWN.rstrip()}, own.* FROM (SELECT {arrays} FROM {self.table}"  # noqa: S608
            " WHERE order_id = ANY($2::text[])) AS own"
        )

    async def load(self, connection: Connection, keys: Iterable[str]) -> dict[str, Change]:
        return self.read(tuple(row) for row in await connection.fetch(self._select, list(keys)))

    def read(self, rows: Iterable[tuple[str, int, str, str]]) -> dict[str, Change]:
        return {key: Change(self.state_of(status, detail), v) for key, v, status, detail in rows}

    def saving(self, changed: dict[str, Change]) -> list[Part]:
        """Write what changed; a row that somebody else changed meanwhile is a conflict."""
        ordered = sorted(changed.items())  # one order for all, so that no two writers deadlock
        fresh = [item for item in ordered if item[1].loaded_version == 0]
        known = [item for item in ordered if item[1].loaded_version > 0]
        parts = []
        if fresh:
            parts.append(
                Part(f"new_{self.table}", self._insert, self._arrays(fresh), rows=len(fresh))
            )
        if known:
            values = [*self._arrays(known), [row.loaded_version for _, row in known]]
            parts.append(Part(f"known_{self.table}", self._update, values, rows=len(known)))
        return parts

    def unchanged(self, rows: dict[str, Change]) -> list[Part]:
        """Write nothing where one of these rows has another version by now."""
        if not rows:
            return []
        query = (
            f"SELECT FROM {self.table} JOIN unnest($1::text[], $2::int[]) AS was (order_id, version)"
            " USING (order_id, version)"
        )
        values = [list(rows), [row.version for row in rows.values()]]
        return [Part(f"same_{self.table}", query, values, rows=len(rows))]

    async def copy(self, connection: Connection, rows: Iterable[tuple[str, Change]]) -> None:
        """Add rows in bulk, none of which is there yet (COPY)."""
        table = (self._row(key, row) for key, row in rows)
        names = [name for name, _ in self._columns]
        await connection.copy_records_to_table(self.table, records=table, columns=names)

    def _arrays(self, rows: list[tuple[str, Change]]) -> list[list[Any]]:
        return columns(self._row(key, row) for key, row in rows)

    def _row(self, key: str, row: Change) -> tuple[Any, ...]:
        status = type(row.state).__name__
        detail = self._adapters[status].dump_json(row.state).decode()
        return (key, row.version, status, detail, *self.columns_of(row.state))


LOCK_MISSING = """
SELECT pg_advisory_xact_lock(hashtextextended($1 || ':' || key, 0)) FROM unnest($2::text[]) AS key
"""  # a row that is not there yet can't be locked, so its first writers queue here
_SQL_TYPES: dict[Any, str] = {int: "bigint", str: "text", bool: "boolean"}


@dataclass(frozen=True)
class SharedTable:
    """Rows that orders share: columns are the fields of `item`.

    `lock` serialises their writers. Where readers must not wait for that, `revision` names a column
    that every change raises: of two writers at the same time the second is told to start over.
    """

    table: str
    key: str
    item: type[Any]
    lock: bool = True
    revision: str = ""

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(field.name for field in fields(self.item))

    @cached_property
    def _kinds(self) -> tuple[str, ...]:
        return ("text", *(_SQL_TYPES[f.type] for f in fields(self.item)))

    @cached_property
    def _current(self) -> str:
        return ", ".join(f"now.{name}" for name in self._names)

    @cached_property
    def _select(self) -> str:
        return (
            f"SELECT {self.key}, {', '.join(self._names)} FROM {self.table}"  # noqa: S608
            f' WHERE {self.key} = ANY($1::text[]) ORDER BY {self.key} COLLATE "C"'
            + (" FOR UPDATE" if self.lock else "")
        )

    @cached_property
    def _upsert(self) -> str:
        names = (self.key, *self._names)
        sets = ", ".join(f"{name} = EXCLUDED.{name}" for name in self._names)
        newer = f" WHERE {self.table}.{self.revision} < EXCLUDED.{self.revision}"
        return (
            f"INSERT INTO {self.table} ({', '.join(names)}) SELECT * FROM {unnested(self._kinds)}"  # noqa: S608
            f" ON CONFLICT ({self.key}) DO UPDATE SET {sets}{newer if self.revision else ''}"
            " RETURNING 1"
        )

    async def load(self, connection: Connection, keys: Iterable[str]) -> dict[str, Any]:
        wanted = sorted(keys)
        rows = await connection.fetch(self._select, wanted)
        if self.lock and (missing := set(wanted) - {row[0] for row in rows}):
            await connection.execute(LOCK_MISSING, self.table, sorted(missing))
            rows = await connection.fetch(self._select, wanted)
        return {
            row[0]: self.item(**dict(zip(self._names, tuple(row)[1:], strict=True))) for row in rows
        }

    async def save(self, connection: Connection, changed: dict[str, Any]) -> None:
        await together.run(connection, [self.saving(changed)])

    def saving(self, changed: dict[str, Any]) -> Part:
        return Part(f"new_{self.table}", self._upsert, self._arrays(changed), rows=len(changed))

    @cached_property
    def _replace(self) -> str:
        both = self._kinds + self._kinds[1:]
        news, olds = (", ".join(f"{p}_{n}" for n in self._names) for p in ("new", "old"))
        sets = ", ".join(f"{name} = new_{name}" for name in self._names)
        return (
            f"UPDATE {self.table} AS now SET {sets}"  # noqa: S608 - own names
            f" FROM {unnested(both)} AS row (row_key, {news}, {olds})"
            f" WHERE now.{self.key} = row_key AND ({self._current}) = ({olds}) RETURNING 1"
        )

    @cached_property
    def _same(self) -> str:
        olds = ", ".join(f"old_{name}" for name in self._names)
        return (
            f"SELECT FROM {self.table} AS now"
            f" JOIN {unnested(self._kinds)} AS row (row_key, {olds})"
            f" ON now.{self.key} = row_key AND ({self._current}) = ({olds})"
        )

    def replacing(
        self, was: dict[str, Any], changed: dict[str, Any], absent: Collection[str]
    ) -> list[Part]:
        """Write what changed if each row, read or changed, is still as it was (compare and swap)."""
        parts, read = [], {key: row for key, row in was.items() if key not in changed}
        if changed:
            values = [*self._arrays(changed), *self._arrays({k: was[k] for k in changed})[1:]]
            parts.append(Part(f"new_{self.table}", self._replace, values, rows=len(changed)))
        if read:
            parts.append(Part(f"same_{self.table}", self._same, self._arrays(read), rows=len(read)))
        if absent:
            query = f"SELECT FROM {self.table} WHERE {self.key} = ANY($1::text[])"
            parts.append(Part(f"no_{self.table}", query, [list(absent)], rows=0))
        return parts

    def _arrays(self, rows: dict[str, Any]) -> list[list[Any]]:
        return columns(
            (key, *(getattr(value, name) for name in self._names))
            for key, value in sorted(rows.items())
        )
