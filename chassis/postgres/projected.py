"""Tables that are folded from a compacted topic."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chassis.message import Record
from chassis.postgres.statement import Clause, arrays, run
from chassis.postgres.types import Connection
from chassis.projected import Projected

UPSERT: Final = """
INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays})
ON CONFLICT ({key}) DO UPDATE SET {set} WHERE ({present}) IS DISTINCT FROM ({given}) RETURNING 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedTable(Projected):
    """`key` is the column of the event's subject.

    What a tombstone has erased stays as a row of empty texts: it is known that nothing will come. Where
    nobody waits for a row it is deleted instead (`keeps_erased`).
    """

    key: str
    keeps_erased: bool = True

    async def __call__(self, connection: Connection, records: Sequence[Record]) -> None:
        """Fold them, all or none.

        Raises MalformedError for a record of something else, and what PostgreSQL raises for a text it
        can't hold: such a record is found and parked, and the table keeps what was given before.
        """
        newest = {record.subject: self.values_of(record) for record in records}
        erased = [key for key, values in newest.items() if values is None]
        rows = [(key, *values) for key, values in newest.items() if values is not None]
        clauses = []
        if self.keeps_erased:
            rows += [(key, *("",) * len(self.columns)) for key in erased]
        elif erased:
            clauses.append(Clause("erased", self._delete, {"keys": erased}))
        if rows:
            clauses.append(Clause("given", self._upsert, arrays((self.key, *self.columns), rows)))
        await run(connection, clauses)

    async def rows_of(
        self, connection: Connection, keys: Collection[str]
    ) -> dict[str, Mapping[str, str] | None]:
        """By column; all texts are empty where a row was erased, None where nothing has come yet."""
        query = f"SELECT {self.key}, {', '.join(self.columns)} FROM {self.name} WHERE {self.key} = ANY($1::text[])"  # noqa: S608, E501 - own names
        found = await connection.fetch(query, list(keys))
        rows = {key: dict(zip(self.columns, values, strict=True)) for key, *values in found}
        return dict.fromkeys(keys) | rows

    async def row_of(self, connection: Connection, key: str) -> Mapping[str, str] | None:
        """As `rows_of` gives it."""
        return (await self.rows_of(connection, [key]))[key]

    @property
    def _delete(self) -> str:
        return f"DELETE FROM {self.name} WHERE {self.key} = ANY({{keys}}::text[]) RETURNING 1"  # noqa: S608 - own names

    @property
    def _upsert(self) -> str:
        names = (self.key, *self.columns)
        return UPSERT.format(
            table=self.name,
            key=self.key,
            names=", ".join(names),
            arrays=", ".join(f"{{{name}}}::text[]" for name in names),
            set=", ".join(f"{name} = EXCLUDED.{name}" for name in self.columns),
            present=", ".join(f"{self.name}.{name}" for name in self.columns),
            given=", ".join(f"EXCLUDED.{name}" for name in self.columns),
        )
