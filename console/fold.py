"""What an order's events add up to, in whatever order they are read and however often. No IO."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from chassis.events import Envelope, identity_of
from chassis.tracing import trace_id_of
from console.flow import ABSENT, BITS, NAMES, REFERENCES, STATE_AFTER, waited_on_at
from console.model import EdgeKind
from guarantees.protocol import SETTLED, STEPS
from guarantees.services import SERVICES

FIRST: Final = STEPS[0].service
"""The service whose state is the order's."""
_FIRST_OF_ALL: Final = STEPS[0].forward
_LAST_OF_FIRST: Final = frozenset(SERVICES[0].final.values())
_REFERENCES: Final[dict[type[Any], list[str]]] = {}
for _event, _name in REFERENCES:
    _REFERENCES.setdefault(_event, []).append(_name)


class ReachedState(NamedTuple):
    """The last state of a service that is known: by which of its events, and when that was decided."""

    sequence: int
    state: str
    at: datetime


class OrderReason(NamedTuple):
    """Why an order was refused or cancelled; the least of all counts.

    What ended it comes before reasons that were given on the way, of which the first counts.
    """

    rank: int
    at: datetime
    reason: str
    refused_by: str


@dataclass(slots=True)
class FoldedOrder:
    """One order; `seen` is a set of `flow.BITS`. Times are None until the event is there that says them."""

    id: str
    began_at: datetime | None = None
    newest_at: datetime | None = None
    placed_at: datetime | None = None
    customer: str = ""
    total_minor: int | None = None
    currency: str = ""
    trace_id: str = ""
    why: OrderReason | None = None
    seen: int = 0
    events: int = 0
    reached: dict[str, ReachedState] = field(default_factory=dict)

    def add(self, envelope: Envelope) -> None:
        """One event, which may have been added before: `events` alone is counted by who knows that."""
        at, identity = envelope.time, identity_of(envelope.type)
        self.see(envelope.source[1:], identity, envelope.sequence, at)
        if identity == _FIRST_OF_ALL:
            self._place(envelope)
        if reason := getattr(envelope.event, "reason", ""):
            rank = 0 if identity in _LAST_OF_FIRST else 1
            by = getattr(envelope.event, "refused_by", "") or envelope.source[1:]
            given = OrderReason(rank, at, reason, by)
            self.why = given if self.why is None else min(given, self.why)

    def see(self, service: str, identity: str, sequence: int, at: datetime) -> None:
        """What an event's headers alone say: enough to tell where the order stands."""
        self.seen |= BITS[identity]
        self.began_at = at if self.began_at is None else min(at, self.began_at)
        self.newest_at = at if self.newest_at is None else max(at, self.newest_at)
        state, known = STATE_AFTER.get(identity), self.reached.get(service)
        if state and (known is None or known.sequence < sequence):
            self.reached[service] = ReachedState(sequence, state, at)

    def _place(self, envelope: Envelope) -> None:
        order = envelope.event.order
        self.placed_at, self.customer = order.placed_at, order.customer_id
        self.total_minor, self.currency = order.total_minor, order.currency
        self.trace_id = trace_id_of(envelope.traceparent)

    def standing(self) -> "StandingOrder":
        """Where it stands by what was added so far."""
        states = tuple(at.state if (at := self.reached.get(name)) else ABSENT for name in NAMES)
        edges = waited_on_at(states, self.seen)
        is_held_up = bool(edges) and edges[0].kind is not EdgeKind.TIMER
        own = self.reached.get(FIRST)
        return StandingOrder(
            state=own.state if own else ABSENT,
            step=edges[0].target if is_held_up else "",
            edges={edge.id: self.reached[edge.source].at for edge in edges},
            settled_at=own.at if own and own.state in SETTLED else None,
        )


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """`edges` are those on which it waits, with the time since when, the one that matters most first."""

    state: str
    step: str
    edges: dict[str, datetime]
    settled_at: datetime | None


def folded(order_id: str, envelopes: Iterable[Envelope]) -> FoldedOrder:
    order = FoldedOrder(order_id)
    for envelope in envelopes:
        order.add(envelope)
        order.events += 1
    return order


def references_in(event: Any) -> dict[str, str]:
    """Ids of other things that an event holds, by field."""
    names = _REFERENCES.get(type(event), ())
    return {name: value for name in names if (value := getattr(event, name))}
