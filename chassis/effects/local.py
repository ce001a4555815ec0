"""Effects that the process which decided on them runs itself, once their events are in the log.

They are kept with a lease, so that no other statement has to be run for it. The lease is short: what
is not run in time - the process died, a circuit is open, another process relays - any instance finds in
the store.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from chassis import clock
from chassis.bus import Committed, Sent
from chassis.message import FIRST_LEASE_S, PendingEffect

STARTS_BEFORE_S: Final = FIRST_LEASE_S / 2
"""What has not begun by then is left to the store: its lease may be over before the call is."""


@dataclass
class LocalEffectQueue:
    """`kinds` are the worker's; rows of the outbox are known by their ids.

    Kafka's acknowledgement of a row may come before its commit is known here. For rows of
    `dead_letter_topic` no effect waits.
    """

    kinds: frozenset[str] = frozenset()
    dead_letter_topic: str = ""
    waiting: dict[str, tuple[float, list[PendingEffect]]] = field(default_factory=dict)
    early: dict[str, float] = field(default_factory=dict)
    ready: deque[tuple[float, PendingEffect]] = field(default_factory=deque)

    def committed(self, event: Committed) -> None:
        """A saga's effects wait for the last of its rows: Kafka takes a saga's rows in turn."""
        if not self.kinds:
            return
        self._expire()
        now, result = clock.monotonic(), event.result
        mine: dict[str, list[PendingEffect]] = {}
        for effect in result.effects:
            if effect.kind in self.kinds and effect.tries:
                mine.setdefault(effect.key, []).append(effect)
        for id_, row in zip(reversed(result.outbox_ids), reversed(result.outbox), strict=True):
            effects = mine.pop(row.key, []) if row.topic != self.dead_letter_topic else []
            if self.early.pop(id_, None) is None:
                self.waiting[id_] = (now, effects)
            else:
                self.ready.extend((now, effect) for effect in effects)

    def sent(self, event: Sent) -> bool:
        """Whether some of the rows may be of another process, whose effects are not here."""
        if not self.kinds:
            return False
        now, unknown = clock.monotonic(), False
        for id_, _ in event.rows:
            decided_at, effects = self.waiting.pop(id_, (0.0, None))
            if effects is None:
                self.early[id_], unknown = now, True
            else:
                self.ready.extend((decided_at, effect) for effect in effects)
        return unknown

    @property
    def is_ready(self) -> bool:
        return bool(self.ready)

    def take(self, most: int) -> list[PendingEffect]:
        """Up to so many to ask for now."""
        self._expire()
        return [self.ready.popleft()[1] for _ in range(min(most, len(self.ready)))]

    def _expire(self) -> None:
        """Also while nobody takes: a provider may be away for hours."""
        earliest = clock.monotonic() - STARTS_BEFORE_S
        while self.ready and self.ready[0][0] < earliest:
            self.ready.popleft()
        while self.waiting and self.waiting[first := next(iter(self.waiting))][0] < earliest:
            del self.waiting[first]
        while self.early and self.early[first := next(iter(self.early))] < earliest:
            del self.early[first]
