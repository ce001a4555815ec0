"""Rows of the outbox that this process wrote a moment ago, so that its relay need not read them back."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from chassis import clock
from chassis.bus import Committed
from chassis.message import BATCH_BYTES, OutboxRow, size_of
from chassis.store import Outbox, Pending

LOOK_S: Final = 0.1
"""At least so often the outbox itself is read."""
OTHERS_S: Final = 2.0
"""So long after another process's rows were found, nothing is published without a look."""


@dataclass
class RecentOutboxRows:
    """A decorator of the outbox, which holds a bounded number of rows.

    In doubt, another process may have written rows that must go before them: whenever a batch was
    decided on what this process had not written itself. So it is until the outbox was read after that.
    """

    outbox: Outbox
    rows_max: int = 20_000
    bytes_max: int = 4 * BATCH_BYTES
    look_s: float = LOOK_S
    others_s: float = OTHERS_S
    rows: dict[str, OutboxRow] = field(default_factory=dict)
    _bytes: int = 0
    _is_doubted: bool = True
    _others_at: float = float("-inf")
    _look_at: float = 0.0

    @property
    def leads(self) -> bool:
        return self.outbox.leads

    async def lead(self) -> bool:
        if not self.outbox.leads:
            self._clear()
        return await self.outbox.lead()

    async def resign(self) -> None:
        self._clear()
        await self.outbox.resign()

    @property
    def is_complete(self) -> bool:
        """Whether the oldest of these are the next to publish."""
        now = clock.monotonic()
        is_due = now >= self._look_at or now <= self._others_at + self.others_s
        return self.outbox.leads and not self._is_doubted and not is_due

    async def pending(
        self, limit: int, *shut: str, known: Mapping[str, OutboxRow] | None = None
    ) -> Pending:
        del known
        if self.is_complete:
            return Pending(self._first(limit, shut), is_end=False, any_refused=False)
        self._look_at = clock.monotonic() + self.look_s
        self._is_doubted = False  # what is decided during the look may raise it again
        found = await self.outbox.pending(limit, *shut, known=self.rows)
        self._is_doubted |= not found.is_end or bool(shut) or found.any_refused
        if not all(id_ in self.rows for id_, _ in found.rows):
            self._others_at = clock.monotonic()
        return found

    async def refuse(self, refused: Mapping[str, str]) -> None:
        self._is_doubted = True
        await self.outbox.refuse(refused)
        self._forget(refused)

    async def acknowledge(self, ids: Sequence[str]) -> None:
        await self.outbox.acknowledge(ids)
        self._forget(ids)

    def committed(self, event: Committed) -> None:
        result = event.result
        self._is_doubted |= result.read.is_read
        if not self.outbox.leads:
            return
        if len(self.rows) < self.rows_max and self._bytes < self.bytes_max:
            self.rows.update(zip(result.outbox_ids, result.outbox, strict=True))
            self._bytes += sum(map(size_of, result.outbox))
        else:
            self._is_doubted = True

    def _first(self, limit: int, shut: Collection[str]) -> list[tuple[str, OutboxRow]]:
        rows = ((id_, row) for id_, row in self.rows.items() if row.topic not in shut)
        return list(islice(rows, limit))

    def _forget(self, ids: Iterable[str]) -> None:
        for id_ in ids:
            if (row := self.rows.pop(id_, None)) is not None:
                self._bytes -= size_of(row)

    def _clear(self) -> None:
        self.rows.clear()
        self._bytes = 0
        self._is_doubted = True
