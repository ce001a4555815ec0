"""Which event has which wire type, owner, topic and key: made of what a system lists, as data."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from chassis.events.upcasting import Upcaster, upcast


@dataclass(frozen=True, slots=True)
class Listed:
    """An event as its system lists it.

    `wire_type` is the CloudEvents type of its newest version, such as `stock.reserved.v2`, which
    alone is published. `lane` is the part of its owner's events that it goes with: a topic of its own.
    `subject` is the path of attributes to what the event is about, its key on Kafka. `is_of_a_saga`
    says that this is a saga, which numbers its events; else it is a shared row. `former` are topics in
    which earlier releases published it.
    """

    wire_type: str
    event: type[Any]
    owner: str
    lane: str
    subject: str
    is_of_a_saga: bool
    former: tuple[str, ...]

    @property
    def topic(self) -> str:
        """Where it is published."""
        return f"{self.owner}.{self.lane}"

    @property
    def topics(self) -> tuple[str, ...]:
        """Where it may stand: its topic, and those of earlier layouts."""
        return self.topic, *self.former


@dataclass(frozen=True, slots=True)
class Entry(Listed):
    """A listed event with its reader; `upcasters` lead to the newest version from each before it.

    `subject_of` gives an event's key. `limits` are those of its own whole numbers: name, least, most.
    """

    adapter: TypeAdapter[Any]
    subject_of: Callable[[Any], str]
    limits: tuple[tuple[str, int, int], ...] = ()
    upcasters: tuple[Upcaster, ...] = ()

    @property
    def name(self) -> str:
        return name_of(self.wire_type)

    @property
    def wire_types(self) -> tuple[str, ...]:
        """Every version that can be read, the newest last."""
        return versions(self.wire_type)

    @property
    def identity(self) -> str:
        """What ids are made of: a decision keeps its id, in whatever version it is published."""
        return identity_of(self.wire_type)

    def read(self, wire_type: str, value: bytes) -> Any:
        """The event in a value of any of its versions.

        Raises ValueError for a value off its schema.
        """
        if wire_type != self.wire_type:
            steps = self.upcasters[self.wire_types.index(wire_type) :]
            value = to_json(upcast(from_json(value), steps))
        return self.adapter.validate_json(value)


def name_of(wire_type: str) -> str:
    """The event's name without its version; "" for what has none."""
    return wire_type.rpartition(".v")[0]


def identity_of(wire_type: str) -> str:
    """The event's first version, by which it is known in all."""
    return f"{name_of(wire_type)}.v1"


def versions(wire_type: str) -> tuple[str, ...]:
    """A wire type with all that it has replaced, oldest first."""
    name, _, newest = wire_type.rpartition(".v")
    return tuple(f"{name}.v{number}" for number in range(1, int(newest) + 1))


def dead_letters_of(owner: str) -> str:
    return f"{owner}.dead-letters"


class Catalog:
    """All events of a system: `by_type` by each wire type that can be read, `by_event` by class.

    Of the topics in `compacted` only the newest record of a key is kept.
    """

    def __init__(
        self,
        listed: Iterable[Listed],
        upcasters: Mapping[str, Upcaster],
        compacted: frozenset[str] = frozenset(),
    ) -> None:
        """Raises ValueError for a version that can't be read, and an upcaster that leads nowhere."""
        self.entries: tuple[Entry, ...] = tuple(_entry(each, upcasters) for each in listed)
        self.compacted = compacted
        self.by_type: Mapping[str, Entry] = {n: e for e in self.entries for n in e.wire_types}
        self.by_event: Mapping[type[Any], Entry] = {entry.event: entry for entry in self.entries}
        self.names = frozenset(entry.name for entry in self.entries)
        older = {old for entry in self.entries for old in entry.wire_types[:-1]}
        if lost := sorted(set(upcasters) - older):
            raise ValueError(f"no newer version than {', '.join(lost)}")

    def lanes_of(self, owner: str) -> tuple[str, ...]:
        """The topics in which an owner publishes events that are kept for ever."""
        return self._topics(entry.topic for entry in self.entries if entry.owner == owner)

    def log_of(self, owner: str) -> tuple[str, ...]:
        """Its lanes, and the topics of earlier layouts: together they hold each event of a saga."""
        former = (topic for e in self.entries if e.owner == owner for topic in e.former)
        return (*self.lanes_of(owner), *self._topics(former))

    def _topics(self, named: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted({*named} - self.compacted))

    def entry_of(self, event: Any) -> Entry:
        """Raises KeyError for what is no event of the catalog."""
        return self.by_event[type(event)]

    def wire_type(self, event: Any) -> str:
        return self.entry_of(event).wire_type


def _limits(event: type[Any]) -> Iterator[tuple[str, int, int]]:
    for name, hint in get_type_hints(event, include_extras=True).items():
        if get_origin(hint) is Annotated and get_args(hint)[0] is int:
            given = [
                bound for info in get_args(hint)[1:] for bound in getattr(info, "metadata", ())
            ]
            (least,) = (bound.ge for bound in given if hasattr(bound, "ge"))
            (most,) = (bound.le for bound in given if hasattr(bound, "le"))
            yield name, least, most


def _entry(listed: Listed, upcasters: Mapping[str, Upcaster]) -> Entry:
    older = versions(listed.wire_type)[:-1]
    if missing := [old for old in older if old not in upcasters]:
        raise ValueError(f"{listed.wire_type} has no upcaster from {', '.join(missing)}")
    return Entry(
        **{field.name: getattr(listed, field.name) for field in fields(listed)},
        adapter=TypeAdapter(listed.event),
        subject_of=attrgetter(listed.subject),
        limits=tuple(_limits(listed.event)),
        upcasters=tuple(upcasters[old] for old in older),
    )
