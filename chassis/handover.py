"""Effects that the process which decided on them asks for itself, once their events are in the log.

They are owed with a lease on them, so that no other statement has to be run for it. The lease is short:
what becomes nothing of it - a process that died, a circuit that is open, a relay elsewhere - any
instance finds in the store.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chassis import clock
from chassis.message import HANDED_S, OutboxRow, PendingEffect
from chassis.work import Work

STARTS_BEFORE_S: Final = HANDED_S / 2
"""What is not asked for by then is left to the store: its lease may be over before the call is."""


@dataclass
class Handover:
    """`kinds` are the worker's; rows are known by identity, as the relay gives those of the commit."""

    kinds: frozenset[str] = frozenset()
    _waiting: dict[int, tuple[float, OutboxRow, list[PendingEffect]]] = field(default_factory=dict)
    _ready: deque[tuple[float, PendingEffect]] = field(default_factory=deque)

    def committed(self, work: Work) -> None:
        """An order's effects wait for the last of its rows: Kafka takes an order's rows in turn."""
        if not self.kinds:
            return
        now = clock.monotonic()
        mine: dict[str, list[PendingEffect]] = {}
        for effect in work.effects:
            if effect.kind in self.kinds and effect.tries:
                mine.setdefault(effect.key, []).append(effect)
        for row in reversed(work.outbox):
            self._waiting[id(row)] = (now, row, mine.pop(row.key, []))

    def published(self, rows: Sequence[OutboxRow]) -> bool:
        """Whether some of the rows were written by another process, whose effects are not here."""
        others = False
        if not self.kinds:
            return others
        for row in rows:
            decided_at, _, effects = self._waiting.pop(id(row), (None, row, []))
            others = others or decided_at is None
            self._ready.extend((decided_at or 0.0, effect) for effect in effects)
        return others

    def take(self, most: int) -> list[PendingEffect]:
        """Up to so many to ask for now."""
        self._let_go()
        return [self._ready.popleft()[1] for _ in range(min(most, len(self._ready)))]

    def _let_go(self) -> None:
        earliest = clock.monotonic() - STARTS_BEFORE_S
        while self._ready and self._ready[0][0] < earliest:
            self._ready.popleft()
        while self._waiting:
            decided_at, row, _ = next(iter(self._waiting.values()))
            if decided_at >= earliest:
                break
            del self._waiting[id(row)]
