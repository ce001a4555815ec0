"""The flow as the declarations have it: where an order can wait, and what has yet to come.

Nothing of it is listed here. Places to wait are the protocol's hops, and the calls and timers of the
services' manifests; what state an event leads to is asked of each service's own rules.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias, get_origin, get_type_hints

from chassis.events import name_of
from chassis.service import Service
from console.model import EdgeKind, FlowEdge
from guarantees.declared import service_of
from guarantees.protocol import AGAIN, CONFIRMED, HOPS, STEPS, Hop
from guarantees.services import SERVICES
from shared_events.catalog import CATALOG
from shared_events.lanes import LANES

NAMES: Final = tuple(manifest.name for manifest in SERVICES)
"""The services, in the order in which an order passes them."""
ABSENT: Final = "Absent"
"""The state in which a service has published nothing of an order."""
IMPOSSIBLE: Final = (AssertionError, AttributeError, KeyError, TypeError)
"""What rules raise when they are asked to fold an event that never follows a state."""
BACK: Final = frozenset({"backward", "cancellation"})
"""Lanes of events by which an order is undone."""
States: TypeAlias = Mapping[str, str]
"""By service, the state that its events lead to; a service without events is left out."""
Seen: TypeAlias = Collection[str]
"""Types of an order's events, each in its first version (`identity_of`)."""


def _sample(kind: Any) -> Any:
    """A value of an event's field: what it says does not matter to which state it leads to."""
    if kind is datetime:
        return datetime(2000, 1, 1, tzinfo=UTC)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{field.name: _sample(hints[field.name]) for field in fields(kind)})
    origin = get_origin(kind) or kind
    return {} if origin is Mapping or origin.__name__ == "Mapping" else origin()


def _transitions(service: Service) -> Iterator[tuple[str, str, str]]:
    """State, type of an event and the state that it leads to, of all that the rules allow."""
    events = [e for e in CATALOG.entries if e.owner == service.name and e.is_of_a_saga]
    samples = {entry.identity: _sample(entry.event) for entry in events}
    known, waiting = {ABSENT}, [service.initial]
    while waiting:
        own = waiting.pop()
        for identity, event in samples.items():
            try:
                after = service.split(service.evolve(service.with_shared(own, {}), event))[0]
            except IMPOSSIBLE:
                continue
            name = type(after).__name__
            yield type(own).__name__, identity, name
            if name not in known:
                known.add(name)
                waiting.append(after)


def _states_after() -> Iterator[tuple[str, str]]:
    """Types of events, and the state that each leads to; not those that leave it as it is.

    Raises ValueError for one that leads to several: an order's state would depend on its past.
    """
    for name in NAMES:
        found: dict[str, set[tuple[str, str]]] = {}
        for before, identity, after in _transitions(service_of(name)):
            found.setdefault(identity, set()).add((before, after))
        for identity, pairs in found.items():
            targets = {after for _, after in pairs}
            if len(targets) == 1:
                yield identity, targets.pop()
            elif any(before != after for before, after in pairs):
                raise ValueError(f"{identity} leads to {', '.join(sorted(targets))}")


STATE_AFTER: Final = dict(_states_after())
"""By the type of an event, the state of its service after it."""
STATES: Final = {
    name: tuple(
        dict.fromkeys(
            STATE_AFTER[entry.identity]
            for entry in CATALOG.entries
            if entry.owner == name and entry.identity in STATE_AFTER
        )
    )
    for name in NAMES
}
"""States that each service's events lead to, by service."""
SAGA_EVENTS: Final = tuple(
    e for e in CATALOG.entries if e.is_of_a_saga and e.topic not in CATALOG.compacted
)
_ALL_HOPS: Final = (*HOPS, AGAIN)


def hop_id(wire_type: str, reader: str) -> str:
    """The edge on which an order waits until a service has decided on an event."""
    return f"{name_of(wire_type)}>{reader}"


def call_id(service: str, kind: str) -> str:
    """The edge on which an order waits for the outcome of a call, or for a timer."""
    return f"{service}:{kind}"


def _hop_edges() -> Iterator[FlowEdge]:
    by_id: dict[str, list[Hop]] = {}
    for hop in _ALL_HOPS:
        by_id.setdefault(hop_id(hop.event, hop.to), []).append(hop)
    for id_, hops in by_id.items():
        first = hops[0]
        kind = EdgeKind.BACKWARD if LANES.get(name_of(first.event)) in BACK else EdgeKind.FORWARD
        leads_to = frozenset(event for hop in hops for event in hop.leads_to)
        yield FlowEdge(id_, kind, first.by, first.to, first.event, leads_to=leads_to)


def _own_edges() -> Iterator[FlowEdge]:
    for manifest in SERVICES:
        own = manifest.name, manifest.name
        for call in manifest.calls:
            id_ = call_id(manifest.name, call.kind)
            yield FlowEdge(
                id_, EdgeKind.CALL, *own, call.intent, what=call.kind, provider=manifest.provider
            )
        for kind in manifest.timers.values():
            yield FlowEdge(call_id(manifest.name, kind), EdgeKind.TIMER, *own, what=kind)


EDGES: Final = (*_hop_edges(), *_own_edges())
"""All places where an order can wait, hops first, timers and calls by service."""
EDGE_BY_ID: Final = {edge.id: edge for edge in EDGES}
_CALLS: Final = {
    (manifest.name, call.state): EDGE_BY_ID[call_id(manifest.name, call.kind)]
    for manifest in SERVICES
    for call in manifest.calls
}
_TIMERS: Final = {
    (manifest.name, state): EDGE_BY_ID[call_id(manifest.name, kind)]
    for manifest in SERVICES
    for state, kind in manifest.timers.items()
}
_OUTCOMES: Final = {
    (manifest.name, outcome): EDGE_BY_ID[call_id(manifest.name, call.kind)]
    for manifest in SERVICES
    for call in manifest.calls
    for outcome in call.outcomes
}


def waited_on(states: States, seen: Seen) -> tuple[FlowEdge, ...]:
    """Where an order waits; a timer only where nothing else holds it up."""
    found = dict.fromkeys(
        EDGE_BY_ID[hop_id(hop.event, hop.to)] for hop in _ALL_HOPS if _is_open(hop, states, seen)
    )
    edges = (*found, *(_CALLS[at] for at in states.items() if at in _CALLS))
    return edges or tuple(_TIMERS[at] for at in states.items() if at in _TIMERS)


@lru_cache(maxsize=4096)
def waited_on_at(states: tuple[str, ...], bits: int) -> tuple[FlowEdge, ...]:
    """As `waited_on`, for states in the order of NAMES and a set of BITS: many orders are at one place."""
    known = {name: state for name, state in zip(NAMES, states, strict=True) if state != ABSENT}
    return waited_on(known, seen_of(bits))


def _is_open(hop: Hop, states: States, seen: Seen) -> bool:
    return (
        states.get(hop.by, ABSENT) in hop.sent
        and states.get(hop.to, ABSENT) in hop.undecided
        and hop.proof in seen
        and not any(event in seen for event in hop.leads_to)
    )


def passed(service: str, causation_type: str, cause: str) -> FlowEdge | None:
    """The edge that an order has passed with an event of a service: what has led to it says which.

    `cause` is the type of the event that has, "" for a command, a timer, or the outcome of a call, which
    `causation_type` names. None where the order has waited nowhere that is known.
    """
    if call := _OUTCOMES.get((service, causation_type)):
        return call
    return EDGE_BY_ID.get(hop_id(cause, service)) if cause else None


def remaining(states: States, seen: Seen) -> tuple[str, ...]:
    """Types of events that have yet to come for an order to end, if nothing else happens, in order.

    Forward those that it was not through yet, else the compensations of what was done; what had left
    before it could be cancelled is confirmed again.
    """
    state = states.get(STEPS[0].service, ABSENT)
    if state in STEPS[0].confirmed | STEPS[0].cancelled:
        return ()
    if AGAIN.proof in seen:
        return tuple(AGAIN.leads_to)
    if is_turning_back(seen):
        return tuple(s.back for s in reversed(STEPS) if s.forward in seen and s.back not in seen)
    return tuple(event for event in (*(s.forward for s in STEPS), CONFIRMED) if event not in seen)


def is_turning_back(seen: Seen) -> bool:
    """Whether an order was refused, or is being cancelled."""
    return any(LANES.get(name_of(event)) in BACK for event in seen)


def references() -> Iterator[tuple[type[Any], str]]:
    """Events of orders with the fields that hold an id of something else, such as a shipment's."""
    for entry in SAGA_EVENTS:
        own = {"order_id", "customer_id"}
        for field in fields(entry.event):
            if field.name.endswith(("_id", "_ref")) and field.name not in own:
                yield entry.event, field.name


REFERENCES: Final = tuple(references())
BITS: Final = {entry.identity: 1 << number for number, entry in enumerate(SAGA_EVENTS)}
"""A set of types as one number: a bit for each type, in the order of the catalog."""


def seen_of(bits: int) -> frozenset[str]:
    return frozenset(identity for identity, bit in BITS.items() if bits & bit)
