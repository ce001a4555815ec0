"""What the console knows, as plain values: what its queries answer, and what its pages show.

All times are aware, in UTC. Amounts are minor units of their currency.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")


class EdgeKind(StrEnum):
    """What an order waits for on an edge."""

    FORWARD = "forward"
    """A service that decides on its neighbour's event, on the way to a confirmed order."""
    BACKWARD = "backward"
    """The same, on the way to a cancelled one."""
    CALL = "call"
    """A service that waits for the outcome of a call to its provider."""
    TIMER = "timer"
    """A service that waits for a time; nothing else holds the order up."""


@dataclass(frozen=True, slots=True)
class FlowEdge:
    """One place where orders wait, as the declarations have it (console/flow.py lists them all).

    `id` is stable, such as `order.placed>inventory`, `payment:Capture` or `shipping:DispatchDue`; it is
    what filters and addresses hold. `source` has published `event`, the wire type; `target` must act on
    it, and decides on one of `leads_to` (wire types). For a call and a timer, `source` and `target` are
    the same service, `what` is the kind of the effect or timer, `provider` who is called.
    """

    id: str
    kind: EdgeKind
    source: str
    target: str
    event: str = ""
    what: str = ""
    provider: str = ""
    leads_to: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Counted:
    """A number of things, of which at most so many were counted: 10,000 of them and more are "10,000+"."""

    number: int
    is_capped: bool = False

    def __str__(self) -> str:
        return f"{self.number:,}+" if self.is_capped else f"{self.number:,}"


@dataclass(frozen=True, slots=True)
class EdgeStanding:
    """How many orders wait on an edge, and since when the one that has waited longest.

    `rate` counts orders that passed it each second of late, `median_ms` and `p99_ms` are how long they
    waited there; None where none of the newest events passed it.
    """

    edge: FlowEdge
    waiting: Counted
    oldest_since: datetime | None = None
    rate: float = 0.0
    median_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class FlowStanding:
    """The map: all edges, in the order of `flow.EDGES`; orders by state of the order service.

    `as_of` is the time of the newest event that is known, None before the first. `position` is that of
    the same event, to go on from with `Queries.changes_since`. `instant` is set for a map of the past;
    `is_partial` says that it is of some of the orders only, as there were too many.
    """

    edges: tuple[EdgeStanding, ...]
    states: Mapping[str, Counted]
    in_flight: Counted
    oldest_in_flight: datetime | None
    as_of: datetime | None
    position: int
    instant: datetime | None = None
    is_partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """One order as its events say.

    `state` is the order service's, such as `Pending`; `states` are those of all services that have
    published something of the order. `edges` are ids of edges on which it waits, the one that matters
    most first; `step` is the service that must act on that one, "" when nobody must. `since` is when it
    came to where it is: the time of its newest event. `settled_at` is when it came to its present end,
    None while it is in flight. `reason` is that of its refusal or cancellation, `refused_by` the service that
    refused. `customer` is a pseudonym.
    """

    id: str
    state: str
    step: str
    edges: tuple[str, ...]
    since: datetime
    placed_at: datetime | None
    settled_at: datetime | None
    reason: str
    refused_by: str
    customer: str
    total_minor: int | None
    currency: str
    states: Mapping[str, str]
    events: int
    trace_id: str

    @property
    def is_in_flight(self) -> bool:
        return self.settled_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One event of an order as it stands in the log.

    `type` is the wire type; `sequence` counts a service's events of the order; `causation_id` is the id of
    the message that led to it, `causation_type` an event's type or a command's name. `payload` is what was
    published, with all of its fields: mask it before it is shown. `trace_id` is "" without a trace.
    """

    position: int
    id: str
    order_id: str
    type: str
    service: str
    sequence: int
    time: datetime
    causation_id: str
    causation_type: str
    topic: str
    partition: int
    offset: int
    trace_id: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDetail:
    """An order with its events, causes before what they led to.

    `causes` has for each event's id that of the event that led to it: where that was none (a command, a
    timer, the outcome of a call), the same service's event before; "" for the first. `path` are ids of
    edges that it has passed, in order; `remaining` are wire types that have yet to come if
    nothing else happens, in order.
    """

    order: OrderRow
    events: tuple[EventRow, ...]
    causes: Mapping[str, str]
    path: tuple[str, ...]
    remaining: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next` is the cursor of the page that follows, "" on the last one."""

    rows: tuple[T, ...]
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Orders that meet all of it; an empty set or None asks for nothing.

    `states` are states of the order service, `steps` services that must act, `edges` ids of edges,
    `reasons` and `customers` whole texts. `older` is the age since an order was placed, `waiting` the time
    since its newest event, at least. `placed_from` <= placed_at < `placed_until`. `ids` restricts it to
    these orders, an empty one to none; None does not restrict. What only the services know, such as
    which orders are being retried, is asked there first, and comes as `ids`. `text` is the beginning of
    an order's id.
    """

    states: frozenset[str] = frozenset()
    steps: frozenset[str] = frozenset()
    edges: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    customers: frozenset[str] = frozenset()
    older: timedelta | None = None
    waiting: timedelta | None = None
    placed_from: datetime | None = None
    placed_until: datetime | None = None
    in_flight: bool | None = None
    ids: frozenset[str] | None = None
    text: str = ""


EVERYTHING = Filter()


class FoundKind(StrEnum):
    ORDER = "order"
    CUSTOMER = "customer"
    EVENT = "event"
    TRACE = "trace"
    REFERENCE = "reference"
    """An id that an event holds, of a payment or a shipment: `name` is the event's field."""


@dataclass(frozen=True, slots=True)
class FoundId:
    """What an id is: `order_id` is the order to show, "" for a customer, whose orders a filter finds."""

    kind: FoundKind
    id: str
    order_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """An event that was read: enough to move an order on the map."""

    position: int
    order_id: str
    type: str
    service: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Changes:
    """What was read since a position: `position` is where to go on.

    With `is_cut` some are left out, as there were too many: what is shown has to be asked for anew.
    """

    position: int
    changes: tuple[Change, ...] = ()
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class ReaderState:
    """How far the console itself is: `lag` counts records that it has not read yet, None while Kafka is away.

    `since` is when that was so last. `why` says what keeps it from reading, "" while it reads. `unread` are
    records that it could not read, `last_unread` says why the newest of them could not.
    """

    lag: int | None
    since: datetime
    why: str = ""
    unread: int = 0
    last_unread: str = ""


@dataclass(frozen=True, slots=True)
class ConsoleAction:
    """What a person did in the console: an entry of its audit trail, which nobody edits.

    `by` is the subject of the token, `action` a fixed name such as `unmask`, `detail` what it was done to,
    `note` the reason that the person gave.
    """

    at: datetime
    by: str
    action: str
    detail: str
    note: str


PageCursor: TypeAlias = str
"""Opaque; "" is the beginning. One that is none raises ValueError."""


@dataclass(frozen=True, slots=True)
class GroupNote:
    """What a person wrote about a group of failures."""

    text: str
    by: str
    at: datetime
