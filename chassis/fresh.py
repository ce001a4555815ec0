"""Rows of the outbox at hand, so that the relay need not read back what its own process wrote."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from chassis import clock
from chassis.message import BATCH_BYTES, OutboxRow, size_of


@dataclass
class Fresh:
    """Rows of the outbox that this process wrote a moment ago, for its relay; a bounded number.

    In doubt, another process may have written rows that must go before them: whenever this one has
    read what it had not written itself. So it is until the outbox was read after that.
    """

    rows_max: int = 20_000
    bytes_max: int = 4 * BATCH_BYTES
    others_s: float = 2.0
    _rows: dict[int, OutboxRow] = field(default_factory=dict)
    _bytes: int = 0
    _is_doubted: bool = True
    _others_at: float = float("-inf")

    @property
    def is_all(self) -> bool:
        """Whether the oldest of these are the next to publish."""
        return not self._is_doubted and clock.monotonic() > self._others_at + self.others_s

    def add(self, ids: Sequence[str], rows: Sequence[OutboxRow]) -> None:
        if len(self._rows) < self.rows_max and self._bytes < self.bytes_max:
            self._rows.update(zip(map(int, ids), rows, strict=True))
            self._bytes += sum(map(size_of, rows))
        else:
            self.doubt()

    def doubt(self) -> None:
        self._is_doubted = True

    def looking(self) -> None:
        """The outbox is about to be read."""
        self._is_doubted = False

    def looked(self, *, is_end: bool, is_own: bool) -> None:
        """Whether it was read to its end, and held rows of this process only."""
        self._is_doubted |= not is_end
        if not is_own:
            self._others_at = clock.monotonic()

    def first(self, limit: int, shut: Collection[str] = ()) -> list[tuple[str, OutboxRow]]:
        """The oldest that are not of a topic that is shut."""
        rows = ((str(id_), row) for id_, row in self._rows.items() if row.topic not in shut)
        return list(islice(rows, limit))

    def of(self, ids: Iterable[int]) -> dict[int, OutboxRow]:
        return {id_: self._rows[id_] for id_ in ids if id_ in self._rows}

    def forget(self, ids: Iterable[int]) -> None:
        for id_ in ids:
            if (row := self._rows.pop(id_, None)) is not None:
                self._bytes -= size_of(row)

    def clear(self) -> None:
        self._rows.clear()
        self._bytes = 0
        self.doubt()
