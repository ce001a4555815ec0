"""How states become rows: one versioned row a saga, and plain rows that sagas share."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter

from chassis.message import VersionedState
from chassis.postgres import sql, statement
from chassis.postgres.statement import Clause, arrays, unnested
from chassis.postgres.types import Connection


@dataclass(frozen=True)
class StateTable:
    """One row a saga: its key, its version, the name of its state and the state itself.

    `columns_of` adds columns that queries need, as (name, SQL type) -> value.
    """

    table: str
    key: str
    states: tuple[type[Any], ...]
    columns: tuple[tuple[str, str], ...] = ()
    columns_of: Callable[[Any], tuple[Any, ...]] = lambda _state: ()

    @cached_property
    def _adapters(self) -> dict[str, TypeAdapter[Any]]:
        return {state.__name__: TypeAdapter(state) for state in self.states}

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """SQL types of the columns by name."""
        fixed = {self.key: "text", "version": "int", "status": "text", "detail": "text"}
        return {**fixed, **dict(self.columns)}

    @cached_property
    def _select(self) -> str:
        return (
            f"SELECT {self.key}, version, status, detail FROM {self.table}"  # noqa: S608 - own names
            f" WHERE {self.key} = ANY($1::text[])"
        )

    @cached_property
    def _insert(self) -> str:
        names = ", ".join(self._kinds)
        values = ", ".join("detail::jsonb" if n == "detail" else n for n in self._kinds)
        return (
            f"INSERT INTO {self.table} ({names}) SELECT {values} FROM {unnested(self._kinds, 'new')}"  # noqa: S608 - own names
            f" ON CONFLICT ({self.key}) DO NOTHING RETURNING 1"
        )

    @cached_property
    def _update(self) -> str:
        sets = ", ".join(
            f"{n} = new.{n}::jsonb" if n == "detail" else f"{n} = new.{n}"
            for n in self._kinds
            if n != self.key
        )
        return (
            f"UPDATE {self.table} AS old SET {sets}"  # noqa: S608 - own names
            f" FROM {unnested({**self._kinds, 'loaded_version': 'int'}, 'new')}"
            f" WHERE old.{self.key} = new.{self.key}"
            " AND old.version = new.loaded_version RETURNING 1"
        )

    def state_of(self, status: str, detail: str) -> Any:
        return self._adapters[status].validate_json(detail)

    @cached_property
    def reading(self) -> str:
        """Which of $1, ids, the inbox has; and what is known of $2, keys: parked ones, and their rows."""
        columns = (self.key, "version", "status", "detail::text")
        arrays = ", ".join(f"array_agg({column})" for column in columns)
        return (
            f"{sql.INBOX_AND_PARKED.rstrip()}, own.* FROM (SELECT {arrays} FROM {self.table}"  # noqa: S608 - own names
            f" WHERE {self.key} = ANY($2::text[])) AS own"
        )

    async def load(self, connection: Connection, keys: Iterable[str]) -> dict[str, VersionedState]:
        return self.read(tuple(row) for row in await connection.fetch(self._select, list(keys)))

    def read(self, rows: Iterable[tuple[str, int, str, str]]) -> dict[str, VersionedState]:
        return {
            key: VersionedState(self.state_of(status, detail), v) for key, v, status, detail in rows
        }

    def saving(self, changed: Mapping[str, VersionedState]) -> list[Clause]:
        """Write what changed; a row that another has written meanwhile is a conflict."""
        ordered = sorted(changed.items())  # one order for all, so that no two writers deadlock
        new = [item for item in ordered if item[1].loaded_version == 0]
        known = [item for item in ordered if item[1].loaded_version > 0]
        clauses = []
        if new:
            name = f"new_{self.table}"
            clauses.append(Clause(name, self._insert, self._arrays(new), rows=len(new)))
        if known:
            versions = [row.loaded_version for _, row in known]
            values = {**self._arrays(known), "loaded_version": versions}
            name = f"known_{self.table}"
            clauses.append(Clause(name, self._update, values, rows=len(known)))
        return clauses

    def unchanged(self, versions: Mapping[str, int]) -> list[Clause]:
        """A conflict where one of these rows has another version by now; version 0 is a row that is absent.

        The rows are locked: what changes nothing has to be so until it is committed.
        """
        clauses = []
        if there := {key: version for key, version in versions.items() if version}:
            query = (
                f"SELECT FROM {self.table}"
                f" JOIN unnest({{keys}}::text[], {{versions}}::int[]) AS was ({self.key}, version)"
                f" USING ({self.key}, version) FOR SHARE OF {self.table}"
            )
            ordered = sorted(there.items())
            values = arrays(("keys", "versions"), ordered)
            clauses.append(Clause(f"same_{self.table}", query, values, rows=len(there)))
        if absent := [key for key, version in versions.items() if not version]:
            query = f"SELECT FROM {self.table} WHERE {self.key} = ANY({{keys}}::text[])"
            clauses.append(Clause(f"no_{self.table}", query, {"keys": absent}, rows=0))
        return clauses

    async def copy(
        self, connection: Connection, rows: Iterable[tuple[str, VersionedState]]
    ) -> None:
        """Add rows in bulk, none of which is there yet (COPY)."""
        table = (self._row(key, row) for key, row in rows)
        names = list(self._kinds)
        await connection.copy_records_to_table(self.table, records=table, columns=names)

    def _arrays(self, rows: list[tuple[str, VersionedState]]) -> dict[str, Sequence[Any]]:
        return arrays(tuple(self._kinds), (self._row(key, row) for key, row in rows))

    def _row(self, key: str, row: VersionedState) -> tuple[Any, ...]:
        status = type(row.state).__name__
        detail = self._adapters[status].dump_json(row.state).decode()
        return (key, row.version, status, detail, *self.columns_of(row.state))


LOCK_MISSING = """
SELECT pg_advisory_xact_lock(hashtextextended($1 || ':' || key, 0)) FROM unnest($2::text[]) AS key
"""  # a row that is not there yet can't be locked, so its first writers queue here
_SQL_TYPES: dict[Any, str] = {int: "bigint", str: "text", bool: "boolean"}


@dataclass(frozen=True)
class SharedTable:
    """Rows that sagas share: columns are the fields of `item`.

    `lock` serialises their writers, from reading to writing. Without it, of two writers at the same time
    the second starts over, and readers wait for nobody.
    """

    table: str
    key: str
    item: type[Any]
    lock: bool = True

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(field.name for field in fields(self.item))

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """SQL types of all columns by name, the key first."""
        return {self.key: "text", **{f.name: _SQL_TYPES[f.type] for f in fields(self.item)}}

    @cached_property
    def _select(self) -> str:
        return (
            f"SELECT {', '.join(self._kinds)} FROM {self.table}"  # noqa: S608 - own names
            f' WHERE {self.key} = ANY($1::text[]) ORDER BY {self.key} COLLATE "C"'
            + (" FOR UPDATE" if self.lock else "")
        )

    @cached_property
    def _insert(self) -> str:
        names = ", ".join(self._kinds)
        return (
            f"INSERT INTO {self.table} ({names}) SELECT * FROM {unnested(self._kinds, 'new')}"  # noqa: S608 - own names
            f" ON CONFLICT ({self.key}) DO NOTHING RETURNING 1"
        )

    @cached_property
    def _update(self) -> str:
        sets = ", ".join(f"{name} = row.{name}" for name in self._names)
        old_kinds = {f"old_{name}": self._kinds[name] for name in self._names}
        return (
            f"UPDATE {self.table} AS now SET {sets}"  # noqa: S608 - own names
            f" FROM {unnested({**self._kinds, **old_kinds}, 'row')} WHERE {self._is_same} RETURNING 1"
        )

    @cached_property
    def _is_same(self) -> str:
        """A condition: `now`, the row in the table, is as it was when it was read."""
        current = ", ".join(f"now.{name}" for name in self._names)
        old = ", ".join(f"row.old_{name}" for name in self._names)
        return f"now.{self.key} = row.{self.key} AND ({current}) = ({old})"

    @cached_property
    def _same(self) -> str:
        old_kinds = {f"old_{name}": self._kinds[name] for name in self._names}
        rows = unnested({self.key: "text", **old_kinds}, "row")
        return f"SELECT FROM {self.table} AS now JOIN {rows} ON {self._is_same}"

    async def load(self, connection: Connection, keys: Iterable[str]) -> dict[str, Any]:
        wanted = sorted(keys)
        rows = await connection.fetch(self._select, wanted)
        if self.lock and (missing := set(wanted) - {row[0] for row in rows}):
            await connection.execute(LOCK_MISSING, self.table, sorted(missing))
            rows = await connection.fetch(self._select, wanted)
        return {
            row[0]: self.item(**dict(zip(self._names, tuple(row)[1:], strict=True))) for row in rows
        }

    async def insert(self, connection: Connection, rows: Mapping[str, Any]) -> None:
        """Add rows in bulk. Raises ConcurrentChangeError if one is there already."""
        await statement.run(connection, self.saving({}, rows, ()))

    def saving(
        self, before: Mapping[str, Any], changed: Mapping[str, Any], absent: Collection[str]
    ) -> list[Clause]:
        """Write what changed. A conflict where a row, read or changed, is not as it was `before`."""
        clauses = []
        new = {key: row for key, row in changed.items() if key not in before}
        known = {key: row for key, row in changed.items() if key in before}
        read = {key: row for key, row in before.items() if key not in changed}
        if new:
            values = self._arrays(new)
            clauses.append(Clause(f"new_{self.table}", self._insert, values, rows=len(new)))
        if known:
            values = {**self._arrays(known), **self._old({key: before[key] for key in known})}
            clauses.append(Clause(f"known_{self.table}", self._update, values, rows=len(known)))
        if read:
            values = {**self._old(read), self.key: sorted(read)}
            clauses.append(Clause(f"same_{self.table}", self._same, values, rows=len(read)))
        if missing := sorted(set(absent) - new.keys()):
            query = f"SELECT FROM {self.table} WHERE {self.key} = ANY({{keys}}::text[])"
            clauses.append(Clause(f"no_{self.table}", query, {"keys": missing}, rows=0))
        return clauses

    def _arrays(self, rows: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
        """Columns by name, in the order of the keys."""
        ordered = sorted(rows)
        values = [rows[key] for key in ordered]
        columns = {name: [getattr(value, name) for value in values] for name in self._names}
        return {self.key: ordered, **columns}

    def _old(self, rows: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
        """The columns of `item` as they were read, by other names; in the order of the keys."""
        values = [rows[key] for key in sorted(rows)]
        return {f"old_{name}": [getattr(value, name) for value in values] for name in self._names}
