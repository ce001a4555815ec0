"""Rows of the outbox at hand, so that the relay need not read back what its own process wrote."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from chassis.message import OutboxRow


@dataclass
class Fresh:
    """Rows of the outbox that this process wrote a moment ago, for its relay; a bounded number."""

    rows_max: int = 20_000
    _rows: dict[int, OutboxRow] = field(default_factory=dict)

    def add(self, ids: Sequence[str], rows: Sequence[OutboxRow]) -> None:
        if len(self._rows) < self.rows_max:
            self._rows.update(zip(map(int, ids), rows, strict=True))

    def of(self, ids: Iterable[int]) -> dict[int, OutboxRow]:
        return {id_: self._rows[id_] for id_ in ids if id_ in self._rows}

    def forget(self, ids: Iterable[int]) -> None:
        for id_ in ids:
            self._rows.pop(id_, None)

    def clear(self) -> None:
        self._rows.clear()
