"""The declarations that are looked at, as data: a test breaks them by changing a field."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from chassis.manifest import Call
from guarantees.causes import CAUSES, Causes
from guarantees.declared import service_of
from guarantees.protocol import AGAIN, CONFIRMED, STEPS, Step
from guarantees.services import SERVICES
from saga_cli.schema.comparing import SchemaChange
from shared_events.catalog import CATALOG
from shared_events.lanes import FACTS

ENDS: Final = frozenset({CONFIRMED, *SERVICES[0].final.values(), *AGAIN.leads_to})
"""Events of the first service with which an order is settled."""


@dataclass(frozen=True, slots=True)
class DeclaredEvent:
    """`is_private` is a fact of its owner, or data on a topic that is folded, not acted on.

    `counts` says that it has a number of its attempt.
    """

    owner: str
    lane: str
    is_private: bool
    counts: bool

    @property
    def is_of_the_chain(self) -> bool:
        """It takes an order on, or back."""
        return self.lane in {"forward", "backward", "cancellation"}


@dataclass(frozen=True, slots=True)
class DeclaredService:
    """Events by wire type; `folds` are topics whose records it keeps without a decision."""

    name: str
    consumes: tuple[str, ...]
    publishes: tuple[str, ...]
    calls: tuple[Call, ...] = ()
    folds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Declarations:
    """`causes` are what each service publishes on which message, `changes` those of schemas."""

    services: Mapping[str, DeclaredService]
    events: Mapping[str, DeclaredEvent]
    causes: Causes
    steps: tuple[Step, ...] = STEPS
    ends: frozenset[str] = ENDS
    changes: tuple[SchemaChange, ...] = ()

    def readers(self, wire_type: str) -> list[str]:
        """Who acts on an event."""
        return [name for name, service in self.services.items() if wire_type in service.consumes]

    def led_to(self, service: str, cause: str) -> Iterator[str]:
        """What a service publishes on a message, and on the outcome of the call that it asks for then."""
        for wire_type in self.causes.get(service, {}).get(cause, ()):
            yield wire_type
            for call in self.services[service].calls:
                if call.intent == wire_type:
                    for outcome in call.outcomes:
                        yield from self.causes.get(service, {}).get(outcome, ())

    def next_to(self, wire_type: str) -> set[str]:
        """The events that others publish on an event, directly or by a call to the outside."""
        return {found for name in self.readers(wire_type) for found in self.led_to(name, wire_type)}


def here(changes: tuple[SchemaChange, ...] = ()) -> Declarations:
    """Those of this code."""
    wire_types = {entry.event: entry.wire_type for entry in CATALOG.entries}
    services: dict[str, DeclaredService] = {}
    for manifest in SERVICES:
        service = service_of(manifest.name)
        services[manifest.name] = DeclaredService(
            manifest.name,
            tuple(wire_types[event] for event in service.consumes),
            tuple(wire_types[event] for event in service.publishes),
            manifest.calls,
            tuple(service.projections),
        )
    events = {entry.wire_type: _event(entry) for entry in CATALOG.entries}
    return Declarations(services, events, CAUSES, changes=changes)


def _event(entry: Any) -> DeclaredEvent:
    is_folded = entry.topic in CATALOG.compacted
    counts = "attempt" in entry.event.__dataclass_fields__
    return DeclaredEvent(entry.owner, entry.lane, is_folded or entry.lane == FACTS, counts)
