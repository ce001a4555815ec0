"""Which event has which wire type, owner and topic, made of what each owner's module lists in EVENTS."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, get_args

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from shared_events.order import DeliveryDetailsGiven
from shared_events.owners import OWNERS
from shared_events.upcasting import UPCASTERS, Upcaster, upcast


@dataclass(frozen=True, slots=True)
class Entry:
    """One event in its newest version, which alone is published.

    `wire_type` is the CloudEvents type, such as `stock.reserved.v2`; `upcasters` lead there from
    each version before it, one step each.
    """

    wire_type: str
    event: type[Any]
    owner: str
    topic: str
    subject: str
    adapter: TypeAdapter[Any]
    upcasters: tuple[Upcaster, ...] = ()

    @property
    def name(self) -> str:
        return name_of(self.wire_type)

    @property
    def is_of_an_order(self) -> bool:
        """Whether its key is an order's, which numbers its events; else it is that of a shared row."""
        return self.subject in {"order", "order_id"}

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

    def subject_of(self, event: Any) -> str:
        """The key on Kafka: the order's id, or the id of what else the event is about."""
        holder = event.order if self.subject == "order" else event
        subject: str = getattr(holder, "order_id" if self.subject == "order" else self.subject)
        return subject


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


def topic_of(owner: str) -> str:
    return f"{owner}.events"


def dead_letters_of(owner: str) -> str:
    return f"{owner}.dead-letters"


Row = tuple[str, type[Any], str]
"""Newest wire type, event, owner."""

DELIVERY_DETAILS: Final = "order.delivery-details"
COMPACTED: Final = frozenset({DELIVERY_DETAILS})
"""Topics of which only the newest record of a key is kept."""

_TYPES: Final[tuple[Row, ...]] = tuple(
    (wire_type, event, owner)
    for owner in OWNERS
    for wire_type, event in import_module(f"shared_events.{owner}").EVENTS
)


def entries_of(rows: Iterable[Row], upcasters: Mapping[str, Upcaster]) -> tuple[Entry, ...]:
    """Raises ValueError for a version that can't be read, and for an upcaster that leads nowhere."""
    entries = tuple(_entry(*row, upcasters) for row in rows)
    if lost := sorted(set(upcasters) - {old for e in entries for old in e.wire_types[:-1]}):
        raise ValueError(f"no newer version than {', '.join(lost)}")
    return entries


def _entry(
    wire_type: str, event: type[Any], owner: str, upcasters: Mapping[str, Upcaster]
) -> Entry:
    fields = event.__dataclass_fields__
    subject = next(name for name in ("order", "order_id", "sku", "customer_id") if name in fields)
    topic = DELIVERY_DETAILS if event is DeliveryDetailsGiven else topic_of(owner)
    older = versions(wire_type)[:-1]
    if missing := [old for old in older if old not in upcasters]:
        raise ValueError(f"{wire_type} has no upcaster from {', '.join(missing)}")
    steps = tuple(upcasters[old] for old in older)
    return Entry(wire_type, event, owner, topic, subject, TypeAdapter(event), steps)


def by_type(entries: Iterable[Entry]) -> Mapping[str, Entry]:
    """Entries by each wire type that they can be read from."""
    return MappingProxyType({name: entry for entry in entries for name in entry.wire_types})


ENTRIES: Final = entries_of(_TYPES, UPCASTERS)
BY_TYPE: Final = by_type(ENTRIES)
BY_EVENT: Final = MappingProxyType({entry.event: entry for entry in ENTRIES})
NAMES: Final = frozenset(entry.name for entry in ENTRIES)


def events_of(union: Any) -> tuple[type[Any], ...]:
    """The events among the members of a union, such as a domain's `Input`, in their order.

    Raises KeyError for one that its module here does not list in EVENTS.
    """
    named_here = (k for k in get_args(union) if k.__module__.startswith("shared_events."))
    return tuple(BY_EVENT[kind].event for kind in named_here)
