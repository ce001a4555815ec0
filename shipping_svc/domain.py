"""Shipping: prepares a shipment once the money is taken; lets it leave when the order is confirmed.

consumes   PaymentCaptured from payment; OrderCancellationRequested, OrderConfirmed from order;
           PointsRejected, PointsDeducted from loyalty
publishes  ShipmentCreated, ShipmentRejected, ShipmentApproved, ShipmentDispatched,
           ShipmentCancelled, ShipmentCancellationRefused, ShipmentCancellationNoted
state      Absent -> Created -> Approved -> Dispatched | Cancelled, or Rejected; Noted is a tombstone
repeats    a fact that comes twice, or too late, decides nothing
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from shared_events.decision import Decision, Refusal, impossible, nothing, publish
from shared_events.loyalty import PointsDeducted, PointsRejected
from shared_events.order import OrderCancellationRequested, OrderConfirmed
from shared_events.payment import PaymentCaptured
from shared_events.shipping import (
    ShipmentApproved,
    ShipmentCancellationNoted,
    ShipmentCancellationRefused,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDispatched,
    ShipmentRejected,
)

UNDELIVERABLE: Final = frozenset({"AQ", "BV", "HM", "TF"})  # no carrier goes there (ISO 3166-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchShipment:
    order_id: str


@dataclass(frozen=True, slots=True)
class Absent:
    """Never heard of."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Cancelled before it was seen: the tombstone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    shipment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    shipment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    shipment_id: str
    cancellation_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    shipment_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    reason: str


State: TypeAlias = Absent | Noted | Created | Approved | Dispatched | Cancelled | Rejected
Input: TypeAlias = (
    DispatchShipment
    | PaymentCaptured
    | OrderCancellationRequested
    | OrderConfirmed
    | PointsRejected
    | PointsDeducted
)
Event: TypeAlias = (
    ShipmentCreated
    | ShipmentRejected
    | ShipmentApproved
    | ShipmentDispatched
    | ShipmentCancelled
    | ShipmentCancellationRefused
    | ShipmentCancellationNoted
)
INITIAL = Absent()


def decide(state: State, message: Input, at: datetime) -> Decision | Refusal:
    match message:
        case PaymentCaptured():
            return create(state, message, at)
        case OrderCancellationRequested():
            return note_cancellation(state, message)
        case OrderConfirmed():
            return approve(state, message)
        case PointsRejected():
            return cancel(state, message.order_id, message.reason, "loyalty")
        case PointsDeducted():
            return cancel(state, message.order_id, message.reason, "order")
        case DispatchShipment():
            return dispatch(state, message)


def evolve(state: State, event: Event) -> State:
    match event:
        case ShipmentCreated(shipment_id=shipment_id):
            return Created(shipment_id=shipment_id)
        case ShipmentRejected(reason=reason):
            return Rejected(reason=reason)
        case ShipmentApproved():
            return Approved(shipment_id=_shipment_of(state))
        case ShipmentDispatched():
            return Dispatched(shipment_id=_shipment_of(state))
        case ShipmentCancelled(reason=reason):
            return Cancelled(shipment_id=_shipment_of(state), reason=reason)
        case ShipmentCancellationRefused():
            return Dispatched(shipment_id=_shipment_of(state), cancellation_refused=True)
        case ShipmentCancellationNoted():
            return Noted()


def create(state: State, message: PaymentCaptured, at: datetime) -> Decision:
    order = message.order
    match state:
        case Created() | Approved() | Dispatched() | Cancelled() | Rejected():
            return nothing("decided before")
        case Noted():
            return publish(ShipmentRejected(order_id=order.order_id, reason="cancelled"))
        case Absent():
            pass
    if at > order.deadline:
        return publish(ShipmentRejected(order_id=order.order_id, reason="deadline_exceeded"))
    if order.country in UNDELIVERABLE:
        return publish(ShipmentRejected(order_id=order.order_id, reason="undeliverable_country"))
    return publish(ShipmentCreated(order=order, shipment_id=f"SHP-{order.order_id}"))


def approve(state: State, message: OrderConfirmed) -> Decision:
    match state:
        case Created():
            return publish(ShipmentApproved(order_id=message.order_id))
        case Approved() | Dispatched():
            return nothing("approved before")
        case Cancelled():
            return nothing("a cancellation came first by another topic")
        case Absent() | Noted() | Rejected():
            return impossible("an order was confirmed that has no shipment")


def dispatch(state: State, command: DispatchShipment) -> Decision | Refusal:
    match state:
        case Approved():
            return publish(ShipmentDispatched(order_id=command.order_id))
        case Dispatched():
            return nothing("dispatched before")
        case Absent() | Noted() | Rejected():
            return Refusal("unknown_shipment", f"no shipment of order {command.order_id}", 404)
        case Created():
            return Refusal("not_confirmed", "the order is not confirmed yet")
        case Cancelled():
            return Refusal("cancelled", "the shipment is cancelled")


def cancel(state: State, order_id: str, reason: str, refused_by: str) -> Decision:
    match state:
        case Created() | Approved():
            cancelled = ShipmentCancelled(order_id=order_id, reason=reason, refused_by=refused_by)
            return publish(cancelled)
        case Dispatched(cancellation_refused=False):
            return publish(ShipmentCancellationRefused(order_id=order_id, reason="dispatched"))
        case Dispatched():
            return nothing("refused before")
        case Cancelled():
            return nothing("cancelled before")
        case Absent() | Noted() | Rejected():
            return impossible("points were undone that no shipment led to")


def note_cancellation(state: State, message: OrderCancellationRequested) -> Decision:
    match state:
        case Absent():
            noted = ShipmentCancellationNoted(order_id=message.order_id, reason=message.reason)
            return publish(noted)
        case Noted() | Created() | Approved() | Dispatched() | Cancelled() | Rejected():
            return nothing("the order was passed on: downstream answers")


def _shipment_of(state: State) -> str:
    assert isinstance(state, Created | Approved | Dispatched), "a shipment is created first"
    return state.shipment_id
