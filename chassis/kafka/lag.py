"""What a consumer has not handled yet: how many records, and how long they have waited."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from chassis import clock

Fetched = Mapping[TopicPartition, Sequence[Any]]


@dataclass
class Lag:
    """Of a batch in hand the time of its oldest record is known.

    A record that was not read yet is no older than the last one handled of its partition, and it was not
    there when the partition was last seen without a lag: the later of the two counts.
    """

    in_hand: int = 0
    oldest_s: float = 0.0
    """At most, when it was last counted."""
    _in_hand_ms: float = 0.0
    _handled_ms: dict[TopicPartition, int] = field(default_factory=dict)
    _lagging_since: dict[TopicPartition, float] = field(default_factory=dict)

    def taken(self, fetched: Fetched) -> None:
        self.in_hand = sum(map(len, fetched.values()))
        self._in_hand_ms = min((part[0].timestamp for part in fetched.values()), default=0.0)

    def handled(self, fetched: Fetched) -> None:
        self.in_hand = 0
        for place, part in fetched.items():
            self._handled_ms[place] = part[-1].timestamp

    async def count(self, client: Any) -> int:
        """Records of the client's partitions; raises its errors."""
        places = list(client.assignment())
        ends = await client.end_offsets(places) if places else {}
        unread: dict[TopicPartition, int]
        unread = {place: ends[place] - await client.position(place) for place in places}
        lagging = {place: count for place, count in unread.items() if count > 0}
        self.oldest_s = self.seconds(lagging)
        return self.in_hand + sum(lagging.values())

    def seconds(self, lagging: Iterable[TopicPartition]) -> float:
        """`lagging` are the partitions that have records not read yet."""
        now, now_ms = clock.monotonic(), clock.now().timestamp() * 1000
        self._lagging_since = {p: self._lagging_since.get(p, now) for p in lagging}
        ages = [
            min(now - since, (now_ms - self._handled_ms.get(place, 0)) / 1000)
            for place, since in self._lagging_since.items()
        ]
        if self.in_hand:
            ages.append((now_ms - self._in_hand_ms) / 1000)
        return max([0.0, *ages])
