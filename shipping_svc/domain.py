"""Shipping: books a shipment once the money is taken; lets it leave when the order is confirmed.

consumes   PaymentCaptured from payment; OrderCancellationRequested, OrderConfirmed from order;
           PointsRejected, PointsDeducted from loyalty
publishes  ShipmentBookingRequested, ShipmentCreated, ShipmentRejected, ShipmentApproved,
           ShipmentDispatchRequested, ShipmentDispatched, ShipmentCancelRequested,
           ShipmentCancelled, ShipmentCancellationRefused, ShipmentCancellationNoted
effects    Book, HandOver, CancelBooking: asked of the carrier outside the transaction
timers     DispatchDue: an approved shipment leaves by itself
state      Absent -> Booking -> Created -> Approved -> Dispatching -> Dispatched, or Rejected;
           Created | Approved -> Cancelling -> Cancelled; Noted is a tombstone
repeats    a fact that comes twice, or too late, decides nothing
"""

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from chassis.decision import Decision, Later, Refusal, impossible, nothing, publish
from shared_events.loyalty import PointsDeducted, PointsRejected
from shared_events.order import OrderCancellationRequested, OrderConfirmed
from shared_events.payment import PaymentCaptured
from shared_events.shipping import (
    ShipmentApproved,
    ShipmentBookingRequested,
    ShipmentCancellationNoted,
    ShipmentCancellationRefused,
    ShipmentCancelled,
    ShipmentCancelRequested,
    ShipmentCreated,
    ShipmentDispatched,
    ShipmentDispatchRequested,
    ShipmentRejected,
)
from shared_events.values import Order
from shipping_svc.messages import (
    Book,
    Booked,
    BookingCancelled,
    BookingRefused,
    CancelBooking,
    DispatchDue,
    DispatchShipment,
    HandedOver,
    HandOver,
)

UNDELIVERABLE: Final = frozenset({"AQ", "BV", "HM", "TF"})  # no carrier goes there (ISO 3166-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A customer who cancels a shipment that is being packed pays `restocking_bps` of the total."""

    restocking_bps: int = 500
    dispatch_after: timedelta = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Absent:
    """The service has stored nothing of this order."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Cancelled before it was seen: the tombstone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """What is known of a booked one, in whatever state; `total_minor` is the order's."""

    shipment_id: str
    carrier_ref: str = ""
    total_minor: int = 0
    customer_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created(Shipment):
    """Booked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved(Shipment):
    """The order is confirmed: it is being packed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving(Shipment):
    """Past the point of no return."""

    cancellation_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatching(Leaving):
    """The carrier is told to collect it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched(Leaving):
    """The carrier has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone(Shipment):
    reason: str
    restocking_fee_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelling(Undone):
    refused_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(Undone):
    """The carrier has cancelled the booking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    reason: str
    customer_id: str = ""


State: TypeAlias = (
    Absent
    | Noted
    | Booking
    | Created
    | Approved
    | Dispatching
    | Dispatched
    | Cancelling
    | Cancelled
    | Rejected
)
Input: TypeAlias = (
    DispatchShipment
    | DispatchDue
    | PaymentCaptured
    | OrderCancellationRequested
    | OrderConfirmed
    | PointsRejected
    | PointsDeducted
    | Booked
    | BookingRefused
    | HandedOver
    | BookingCancelled
)
FIRST: Final = (PaymentCaptured,)  # with which an order usually begins here
Event: TypeAlias = (
    ShipmentBookingRequested
    | ShipmentCreated
    | ShipmentRejected
    | ShipmentApproved
    | ShipmentDispatchRequested
    | ShipmentDispatched
    | ShipmentCancelRequested
    | ShipmentCancelled
    | ShipmentCancellationRefused
    | ShipmentCancellationNoted
)
PointsUndone: TypeAlias = PointsRejected | PointsDeducted
INITIAL = Absent()
BOOKED: Final = tuple(field.name for field in fields(Shipment))
POLICY: Final = Policy()


def decide(
    state: State, message: Input, at: datetime, policy: Policy = POLICY
) -> Decision | Refusal:
    match message:
        case PaymentCaptured():
            return book(state, message, at)
        case Booked():
            return note_booked(state, message)
        case BookingRefused():
            return note_refused(state, message)
        case OrderCancellationRequested():
            return note_cancellation(state, message)
        case OrderConfirmed():
            return approve(state, message, at, policy)
        case PointsRejected() | PointsDeducted():
            return cancel(state, message, at, policy)
        case BookingCancelled():
            return note_cancelled(state, message)
        case DispatchShipment():
            return dispatch(state, message, at)
        case DispatchDue():
            decision = dispatch(state, DispatchShipment(order_id=message.order_id), at)
            return nothing(decision.detail) if isinstance(decision, Refusal) else decision
        case HandedOver():
            return note_handed_over(state, message)


def evolve(state: State, event: Event) -> State:
    match event:
        case ShipmentBookingRequested(order=order):
            return Booking(order=order)
        case ShipmentCreated(order=order, shipment_id=shipment_id, carrier_ref=carrier_ref):
            return Created(
                shipment_id=shipment_id,
                carrier_ref=carrier_ref,
                total_minor=order.total_minor,
                customer_id=order.customer_id,
            )
        case ShipmentRejected(reason=reason):
            whose = state.order.customer_id if isinstance(state, Booking) else ""
            return Rejected(reason=reason, customer_id=whose)
        case ShipmentApproved():
            return Approved(**_booked(state))
        case ShipmentDispatchRequested():
            return Dispatching(**_booked(state))
        case ShipmentDispatched():
            refused = isinstance(state, Dispatching) and state.cancellation_refused
            return Dispatched(**_booked(state), cancellation_refused=refused)
        case ShipmentCancelRequested(reason=reason, refused_by=by, restocking_fee_minor=fee):
            return Cancelling(
                **_booked(state), reason=reason, refused_by=by, restocking_fee_minor=fee
            )
        case ShipmentCancelled(reason=reason, restocking_fee_minor=fee):
            return Cancelled(**_booked(state), reason=reason, restocking_fee_minor=fee)
        case ShipmentCancellationRefused():
            assert isinstance(state, Leaving), "only what leaves is refused"
            return replace(state, cancellation_refused=True)
        case ShipmentCancellationNoted():
            return Noted()


def awaited(state: State, order_id: str, at: datetime, policy: Policy = POLICY) -> tuple[Any, ...]:
    """What a state waits for from outside; `at` is when its last event was decided."""
    match state:
        case Booking(order=order):
            place = {"country": order.country, "postal_code": order.postal_code}
            return (Book(order_id=order_id, shipment_id=_shipment_id(order), **place),)
        case Approved():
            return (Later(at + policy.dispatch_after, DispatchDue(order_id=order_id)),)
        case Dispatching(carrier_ref=carrier_ref):
            return (HandOver(order_id=order_id, carrier_ref=carrier_ref),)
        case Cancelling(carrier_ref=carrier_ref):
            return (CancelBooking(order_id=order_id, carrier_ref=carrier_ref),)
        case Absent() | Noted() | Created() | Dispatched() | Cancelled() | Rejected():
            return ()


def intended(
    state: State, order_id: str, at: datetime, event: Event, policy: Policy = POLICY
) -> Decision:
    """The intent is recorded first; what is owed then is asked for outside."""
    return Decision(events=(event,), effects=awaited(evolve(state, event), order_id, at, policy))


def book(state: State, message: PaymentCaptured, at: datetime) -> Decision:
    order = message.order
    match state:
        case Absent():
            pass
        case Noted():
            return publish(ShipmentRejected(order_id=order.order_id, reason="cancelled"))
        case Booking() | Rejected() | Created() | Approved() | Leaving() | Undone():
            return nothing("decided before")
    if at > order.deadline:
        return publish(ShipmentRejected(order_id=order.order_id, reason="deadline_exceeded"))
    if order.country in UNDELIVERABLE:
        return publish(ShipmentRejected(order_id=order.order_id, reason="undeliverable_country"))
    return intended(state, order.order_id, at, ShipmentBookingRequested(order=order))


def note_booked(state: State, message: Booked) -> Decision:
    match state:
        case Booking(order=order):
            created = ShipmentCreated(
                order=order, shipment_id=_shipment_id(order), carrier_ref=message.carrier_ref
            )
            return publish(created)
        case Created() | Approved() | Leaving() | Undone():
            return nothing("booked before")
        case Absent() | Noted() | Rejected():
            return impossible("the carrier booked what it was not asked for")


def note_refused(state: State, message: BookingRefused) -> Decision:
    match state:
        case Booking():
            return publish(ShipmentRejected(order_id=message.order_id, reason=message.reason))
        case Rejected():
            return nothing("rejected before")
        case Absent() | Noted() | Created() | Approved() | Leaving() | Undone():
            return impossible("the carrier refused what it was not asked for")


def approve(state: State, message: OrderConfirmed, at: datetime, policy: Policy) -> Decision:
    match state:
        case Created():
            approved = ShipmentApproved(order_id=message.order_id)
            return intended(state, message.order_id, at, approved, policy)
        case Approved() | Leaving():
            return nothing("approved before")
        case Undone():
            return nothing("a cancellation came first by another topic")
        case Absent() | Noted() | Booking() | Rejected():
            return impossible("an order was confirmed that has no shipment")


def dispatch(state: State, command: DispatchShipment, at: datetime) -> Decision | Refusal:
    match state:
        case Approved():
            requested = ShipmentDispatchRequested(order_id=command.order_id)
            intent = intended(state, command.order_id, at, requested)
            return replace(intent, dropped=(DispatchDue,))
        case Leaving():
            return nothing("dispatched before")
        case Absent() | Noted() | Rejected():
            why = f"no shipment of order {command.order_id}"
            return Refusal("unknown_shipment", why, "not_found")
        case Booking() | Created():
            return Refusal("not_confirmed", "the order is not confirmed yet")
        case Undone():
            return Refusal("cancelled", "the shipment is cancelled")


def note_handed_over(state: State, message: HandedOver) -> Decision:
    match state:
        case Dispatching():
            return publish(ShipmentDispatched(order_id=message.order_id))
        case Dispatched():
            return nothing("handed over before")
        case Absent() | Noted() | Booking() | Created() | Approved() | Undone() | Rejected():
            return impossible("the carrier has what it was not given")


def cancel(state: State, message: PointsUndone, at: datetime, policy: Policy) -> Decision:
    order_id, reason = message.order_id, message.reason
    match state:
        case Created() | Approved():
            requested = ShipmentCancelRequested(
                order_id=order_id,
                reason=reason,
                refused_by="loyalty" if isinstance(message, PointsRejected) else "order",
                restocking_fee_minor=restocking_fee(state, reason, policy),
            )
            return replace(intended(state, order_id, at, requested), dropped=(DispatchDue,))
        case Leaving(cancellation_refused=False):
            return publish(ShipmentCancellationRefused(order_id=order_id, reason="dispatched"))
        case Leaving():
            return nothing("refused before")
        case Undone():
            return nothing("cancelled before")
        case Absent() | Noted() | Booking() | Rejected():
            return impossible("points were undone that no shipment led to")


def restocking_fee(state: Created | Approved, reason: str, policy: Policy) -> int:
    """Only the customer's own wish costs, and only once somebody has begun to pack."""
    is_free = reason != "customer" or isinstance(state, Created)
    return 0 if is_free else state.total_minor * policy.restocking_bps // 10_000


def note_cancelled(state: State, message: BookingCancelled) -> Decision:
    match state:
        case Cancelling():
            cancelled = ShipmentCancelled(
                order_id=message.order_id,
                reason=state.reason,
                refused_by=state.refused_by,
                restocking_fee_minor=state.restocking_fee_minor,
            )
            return publish(cancelled)
        case Cancelled():
            return nothing("cancelled before")
        case Absent() | Noted() | Booking() | Created() | Approved() | Leaving() | Rejected():
            return impossible("the carrier cancelled what it was not asked to")


def note_cancellation(state: State, message: OrderCancellationRequested) -> Decision:
    match state:
        case Absent():
            noted = ShipmentCancellationNoted(order_id=message.order_id, reason=message.reason)
            return publish(noted)
        case Noted() | Booking() | Created() | Approved() | Leaving() | Undone() | Rejected():
            return nothing("the order was passed on: downstream answers")


def _shipment_id(order: Order) -> str:
    return f"SHP-{order.order_id}"


def _booked(state: State) -> dict[str, Any]:
    assert isinstance(state, Shipment), "a shipment is booked first"
    return {name: getattr(state, name) for name in BOOKED}
