"""Which effects are due, the longest due first, among thousands that are not."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from chassis.message import PendingEffect

DueEntry = tuple[datetime, str]
IsFree = Callable[[PendingEffect], bool]


@dataclass(slots=True)
class Due:
    """One heap a kind. An entry counts while its effect is there and due at that time."""

    _heaps: dict[str, list[DueEntry]] = field(default_factory=dict)

    def add(self, effect: PendingEffect) -> None:
        assert effect.due_at is not None, "a stored effect has its time"
        heapq.heappush(self._heaps.setdefault(effect.kind, []), (effect.due_at, effect.id))

    def take(
        self,
        effects: Mapping[str, PendingEffect],
        kinds: Sequence[str],
        now: datetime,
        limit: int,
        is_free: IsFree,
    ) -> list[PendingEffect]:
        """Those due that are free. Whoever takes them gives each a new time."""
        taken: dict[str, PendingEffect] = {}
        held: list[PendingEffect] = []
        heaps = [self._heaps[kind] for kind in kinds if kind in self._heaps]
        while len(taken) < limit:
            ready = [heap for heap in heaps if heap and heap[0][0] <= now]
            if not ready:
                break
            due_at, id_ = heapq.heappop(min(ready))
            effect = effects.get(id_)
            if effect is None or effect.due_at != due_at:
                continue
            if is_free(effect):
                taken[id_] = effect
            else:
                held.append(effect)
        for effect in held:
            self.add(effect)
        return list(taken.values())
