"""Which of the events that a service kept its topics lack, and from where on a key is sent again.

An event that is missing is followed by all later ones of its key, so that the last of each stand in
the order of decision; whoever has heard them before knows them by their ids.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from chassis.message import OutboxRow

Key: TypeAlias = tuple[str, str]
"""Topic and key."""


class EventName(NamedTuple):
    """An event; a tombstone has no id."""

    topic: str
    key: str
    id: str


def named(
    topic: str, key: str, headers: Iterable[tuple[str, bytes | None]]
) -> tuple[EventName, int]:
    """The event, and its number among those of its key; 0 if it has none."""
    found = dict(headers)
    id_, number = found.get("ce_id") or b"", found.get("ce_sequence") or b"0"
    return EventName(topic, key, id_.decode()), int(number)


@dataclass(slots=True)
class RetainedEvents:
    """The events that a service kept, in the order in which Kafka had them."""

    topics: frozenset[str]
    names: list[EventName] = field(default_factory=list)
    numbers: dict[Key, set[int]] = field(default_factory=dict)

    def add(self, rows: Iterable[OutboxRow]) -> None:
        for row in rows:
            if row.topic in self.topics:
                self.names.append(self.know(row))

    def know(self, row: OutboxRow) -> EventName:
        """It is not lost: it is kept, or waits for Kafka."""
        name, number = named(row.topic, row.key, row.headers)
        self.numbers.setdefault((row.topic, row.key), set()).add(number)
        return name


@dataclass(slots=True)
class PublishedEvents:
    """What stands in the topics: of each event the last offset."""

    last: dict[EventName, int] = field(default_factory=dict)
    numbers: dict[Key, set[int]] = field(default_factory=dict)

    def add(self, records: Iterable[Any]) -> None:
        for record in records:
            key = (record.key or b"").decode("utf-8", "backslashreplace")
            try:
                name, number = named(record.topic, key, record.headers)
            except ValueError:  # somebody else's
                continue
            self.last[name] = record.offset
            self.numbers.setdefault((record.topic, key), set()).add(number)

    def again(self, names: Sequence[EventName]) -> dict[Key, int]:
        """By key, how many of the kept ones stand in order; what follows is sent again."""
        since: dict[Key, int] = {}
        passed: Counter[Key] = Counter()
        reached: dict[Key, int] = {}
        for name in names:
            key = (name.topic, name.key)
            offset = self.last.get(name, -1)
            if key not in since and offset < reached.get(key, 0):
                since[key] = passed[key]
            passed[key] += 1
            reached[key] = offset
        return since


def lost(holds: Mapping[Key, int], kept: RetainedEvents, found: PublishedEvents) -> int:
    """How many events there were, by the numbers that states hold, that are nowhere any more."""
    count = 0
    for key in holds.keys() | kept.numbers.keys() | found.numbers.keys():
        known = (kept.numbers.get(key, set()) | found.numbers.get(key, set())) - {0}
        count += max((holds.get(key, 0), *known)) - len(known)
    return count
