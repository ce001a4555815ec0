"""Tables that are folded from a compacted topic, without a decision: the newest record of a key counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chassis.events import Catalog, MalformedError, decode_record
from chassis.message import Record
from chassis.postgres.types import Connection

UPSERT: Final = """
INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT ({key}) DO UPDATE SET {set}
"""


@dataclass(frozen=True, slots=True)
class ProjectedTable:
    """The columns are texts, called as the event's fields; `key` is its subject.

    What a tombstone has erased stays as a row of empty texts: it is known that nothing will come. Where
    nobody waits for a row it is deleted instead (`keeps_erased`).
    """

    catalog: Catalog
    event: type[Any]
    table: str
    key: str
    columns: tuple[str, ...]
    keeps_erased: bool = True

    async def __call__(self, connection: Connection, records: Sequence[Record]) -> None:
        """Fold them, all or none.

        Raises MalformedError for a record of something else, and what PostgreSQL raises for a text it
        can't hold: such a record is found and parked, and the table keeps what was given before.
        """
        newest = {record.subject: self.values_of(record) for record in records}
        empty = ("",) * len(self.columns)
        rows = [
            (key, *(values or empty))
            for key, values in newest.items()
            if values is not None or self.keeps_erased
        ]
        if erased := [key for key, values in newest.items() if values is None]:
            await connection.execute(
                f"DELETE FROM {self.table} WHERE {self.key} = ANY($1::text[])",  # noqa: S608 - own names
                erased,
            )
        if rows:
            await connection.execute(
                self._upsert, *(list(column) for column in zip(*rows, strict=True))
            )

    def values_of(self, record: Record) -> tuple[str, ...] | None:
        """What a record gives, in the order of the columns; None for a tombstone. Raises MalformedError."""
        if record.value is None:
            return None
        given = decode_record(self.catalog, record).event
        if not isinstance(given, self.event):
            raise MalformedError(f"it is another event than {self.event.__name__}")
        return tuple(getattr(given, name) for name in self.columns)

    async def row_of(self, connection: Connection, key: str) -> dict[str, str] | None:
        """By column; all texts are empty where it was erased, None where nothing has come yet."""
        query = f"SELECT {', '.join(self.columns)} FROM {self.table} WHERE {self.key} = $1"  # noqa: S608 - own names
        row = await connection.fetchrow(query, key)
        return None if row is None else dict(row)

    @property
    def _upsert(self) -> str:
        names = (self.key, *self.columns)
        return UPSERT.format(
            table=self.table,
            key=self.key,
            names=", ".join(names),
            arrays=", ".join(f"${n}::text[]" for n in range(1, len(names) + 1)),
            set=", ".join(f"{name} = EXCLUDED.{name}" for name in self.columns),
        )
