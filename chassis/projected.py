"""What is folded from a compacted topic without a decision: the newest record of a key counts."""

from dataclasses import dataclass
from typing import Any

from chassis.events import Catalog, MalformedError, decode_record
from chassis.message import Record


@dataclass(frozen=True, slots=True)
class Projected:
    """`name` is where it is kept; the columns are texts, called as the fields of the event."""

    catalog: Catalog
    event: type[Any]
    name: str
    columns: tuple[str, ...]

    def values_of(self, record: Record) -> tuple[str, ...] | None:
        """What a record gives, in the order of the columns; None for a tombstone. Raises MalformedError."""
        if record.value is None:
            return None
        given = decode_record(self.catalog, record).event
        if not isinstance(given, self.event):
            raise MalformedError(f"it is another event than {self.event.__name__}")
        return tuple(getattr(given, name) for name in self.columns)
