"""Rows of the outbox at hand, so that the relay need not read back what its own process wrote."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from chassis import clock
from chassis.message import OutboxRow


@dataclass
class Fresh:
    """Rows of the outbox that this process wrote a moment ago, for its relay; a bounded number.

    In doubt, another process may have written rows that must go before them: whenever this one has
    read what it had not written itself. So it is until the outbox was read after that.
    """

    rows_max: int = 20_000
    others_s: float = 2.0
    _rows: dict[int, OutboxRow] = field(default_factory=dict)
    _is_doubted: bool = True
    _others_at: float = float("-inf")

    @property
    def is_all(self) -> bool:
        """Whether the oldest of these are the next to publish."""
        return not self._is_doubted and clock.monotonic() > self._others_at + self.others_s

    def add(self, ids: Sequence[str], rows: Sequence[OutboxRow]) -> None:
        if len(self._rows) < self.rows_max:
            self._rows.update(zip(map(int, ids), rows, strict=True))
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

    def first(self, limit: int) -> list[tuple[str, OutboxRow]]:
        return [(str(id_), row) for id_, row in islice(self._rows.items(), limit)]

    def of(self, ids: Iterable[int]) -> dict[int, OutboxRow]:
        return {id_: self._rows[id_] for id_ in ids if id_ in self._rows}

    def forget(self, ids: Iterable[int]) -> None:
        for id_ in ids:
            self._rows.pop(id_, None)

    def clear(self) -> None:
        self._rows.clear()
        self.doubt()
