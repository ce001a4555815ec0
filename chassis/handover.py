"""Effects that the process which decided on them asks for itself, once their events are in the log.

They are owed with a lease on them, so that no other statement has to be run for it. The lease is short:
what becomes nothing of it - a process that died, a circuit that is open, a relay elsewhere - any
instance finds in the store.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from chassis import clock
from chassis.message import HANDED_S, PendingEffect
from chassis.work import Work

STARTS_BEFORE_S: Final = HANDED_S / 2
"""What is not asked for by then is left to the store: its lease may be over before the call is."""


@dataclass
class Handover:
    """`kinds` are the worker's; rows of the outbox are known by their ids.

    A relay on the same loop may be told by Kafka before this is told by the database.
    """

    kinds: frozenset[str] = frozenset()
    _waiting: dict[str, tuple[float, list[PendingEffect]]] = field(default_factory=dict)
    _early: dict[str, float] = field(default_factory=dict)
    _ready: deque[tuple[float, PendingEffect]] = field(default_factory=deque)

    def committed(self, work: Work) -> None:
        """An order's effects wait for the last of its rows: Kafka takes an order's rows in turn."""
        if not self.kinds:
            return
        self._let_go()
        now = clock.monotonic()
        mine: dict[str, list[PendingEffect]] = {}
        for effect in work.effects:
            if effect.kind in self.kinds and effect.tries:
                mine.setdefault(effect.key, []).append(effect)
        for id_, row in zip(reversed(work.outbox_ids), reversed(work.outbox), strict=True):
            effects = mine.pop(row.key, [])
            if self._early.pop(id_, None) is None:
                self._waiting[id_] = (now, effects)
            else:
                self._ready.extend((now, effect) for effect in effects)

    def published(self, ids: Iterable[str]) -> bool:
        """Whether some of the rows may be of another process, whose effects are not here."""
        if not self.kinds:
            return False
        now, unknown = clock.monotonic(), False
        for id_ in ids:
            decided_at, effects = self._waiting.pop(id_, (0.0, None))
            if effects is None:
                self._early[id_], unknown = now, True
            else:
                self._ready.extend((decided_at, effect) for effect in effects)
        return unknown

    @property
    def is_ready(self) -> bool:
        return bool(self._ready)

    def take(self, most: int) -> list[PendingEffect]:
        """Up to so many to ask for now."""
        self._let_go()
        return [self._ready.popleft()[1] for _ in range(min(most, len(self._ready)))]

    def _let_go(self) -> None:
        """Also while nobody takes: a provider may be away for hours."""
        earliest = clock.monotonic() - STARTS_BEFORE_S
        while self._ready and self._ready[0][0] < earliest:
            self._ready.popleft()
        while self._waiting and self._waiting[first := next(iter(self._waiting))][0] < earliest:
            del self._waiting[first]
        while self._early and self._early[first := next(iter(self._early))] < earliest:
            del self._early[first]
