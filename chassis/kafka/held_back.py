"""Records that are only projected wait for others: a batch of both costs hardly more than either."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import TopicPartition

from chassis.kafka.lag import Fetched

HELD_S: Final = 0.1


@dataclass
class HeldBack:
    """`projections` are their topics. They wait `HELD_S` and a poll at most, and `records_max` of them."""

    projections: Collection[str]
    records_max: int
    parts: dict[TopicPartition, list[Any]] = field(default_factory=dict)
    _since: float = 0.0

    def due(self, polled: Fetched, now: float) -> Fetched:
        """What is to be handled of a poll, with what waited for it; nothing where all of it may wait."""
        if not self.parts:
            self._since = now
        for place, part in polled.items():
            self.parts.setdefault(place, []).extend(part)
        if polled and self._may_wait(now):
            return {}
        due, self.parts = self.parts, {}
        return due

    def _may_wait(self, now: float) -> bool:
        is_full = sum(map(len, self.parts.values())) >= self.records_max
        is_projected = all(place.topic in self.projections for place in self.parts)
        return is_projected and not is_full and now - self._since < HELD_S
