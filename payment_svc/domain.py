"""Payment: takes the money once the stock is held, and gives it back when a later step is undone.

consumes   StockReserved from inventory; OrderCancellationRequested from order;
           ShipmentRejected, ShipmentCancelled from shipping
publishes  PaymentCaptureRequested, PaymentCaptured, PaymentDeclined, PaymentRefundRequested,
           PaymentRefunded, PaymentCancellationNoted
effects    Capture, Refund: asked of the provider outside the transaction, by one key each
state      Absent -> Capturing -> Captured -> Refunding -> Refunded, or Declined; Noted is a tombstone
repeats    a fact that comes twice, or too late, decides nothing
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from shared_events.decision import Decision, impossible, nothing, publish
from shared_events.inventory import StockReserved
from shared_events.order import OrderCancellationRequested
from shared_events.payment import (
    PaymentCancellationNoted,
    PaymentCaptured,
    PaymentCaptureRequested,
    PaymentDeclined,
    PaymentRefunded,
    PaymentRefundRequested,
)
from shared_events.shipping import ShipmentCancelled, ShipmentRejected
from shared_events.values import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    order_id: str
    amount_minor: int
    currency: str
    token: str
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    order_id: str
    amount_minor: int
    currency: str
    provider_ref: str
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSucceeded:
    order_id: str
    provider_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureDeclined:
    order_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundSucceeded:
    order_id: str


@dataclass(frozen=True, slots=True)
class Absent:
    """Never heard of."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Cancelled before it was seen: the tombstone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capturing:
    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    captured_minor: int
    currency: str
    provider_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunding:
    captured: Captured
    reason: str
    refused_by: str
    refund_minor: int
    fee_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded:
    captured: Captured
    reason: str
    refunded_minor: int
    fee_minor: int


State: TypeAlias = Absent | Noted | Capturing | Captured | Declined | Refunding | Refunded
Input: TypeAlias = (
    StockReserved
    | OrderCancellationRequested
    | ShipmentRejected
    | ShipmentCancelled
    | CaptureSucceeded
    | CaptureDeclined
    | RefundSucceeded
)
Event: TypeAlias = (
    PaymentCaptureRequested
    | PaymentCaptured
    | PaymentDeclined
    | PaymentRefundRequested
    | PaymentRefunded
    | PaymentCancellationNoted
)
INITIAL = Absent()


def decide(state: State, message: Input, at: datetime) -> Decision:
    match message:
        case StockReserved():
            return capture(state, message.order, at)
        case OrderCancellationRequested():
            return note_cancellation(state, message)
        case ShipmentRejected():
            return refund(state, message.order_id, message.reason, "shipping", 0)
        case ShipmentCancelled():
            fee = message.restocking_fee_minor
            return refund(state, message.order_id, message.reason, message.refused_by, fee)
        case CaptureSucceeded():
            return note_captured(state, message)
        case CaptureDeclined():
            return note_declined(state, message)
        case RefundSucceeded():
            return note_refunded(state, message)


def evolve(state: State, event: Event) -> State:
    match event:
        case PaymentCaptureRequested(order=order):
            return Capturing(order=order)
        case PaymentCaptured(order=order):
            return Captured(
                captured_minor=event.captured_minor,
                currency=order.currency,
                provider_ref=event.provider_ref,
            )
        case PaymentDeclined(reason=reason):
            return Declined(reason=reason)
        case PaymentRefundRequested():
            assert isinstance(state, Captured), "only what was captured is refunded"
            return Refunding(
                captured=state,
                reason=event.reason,
                refused_by=event.refused_by,
                refund_minor=event.refund_minor,
                fee_minor=event.fee_minor,
            )
        case PaymentRefunded():
            assert isinstance(state, Refunding), "a refund is requested before it is done"
            return Refunded(
                captured=state.captured,
                reason=event.reason,
                refunded_minor=event.refunded_minor,
                fee_minor=event.fee_minor,
            )
        case PaymentCancellationNoted():
            return Noted()


def capture(state: State, order: Order, at: datetime) -> Decision:
    match state:
        case Capturing() | Captured() | Declined() | Refunding() | Refunded():
            return nothing("decided before")
        case Noted():
            return publish(PaymentDeclined(order_id=order.order_id, reason="cancelled"))
        case Absent():
            pass
    if at > order.deadline:
        return publish(PaymentDeclined(order_id=order.order_id, reason="deadline_exceeded"))
    charge = Capture(
        order_id=order.order_id,
        amount_minor=order.total_minor,
        currency=order.currency,
        token=order.payment_token,
    )
    return Decision(events=(PaymentCaptureRequested(order=order),), effects=(charge,))


def note_captured(state: State, message: CaptureSucceeded) -> Decision:
    match state:
        case Capturing(order=order):
            captured = PaymentCaptured(
                order=order, captured_minor=order.total_minor, provider_ref=message.provider_ref
            )
            return publish(captured)
        case Captured() | Refunding() | Refunded():
            return nothing("captured before")
        case Absent() | Noted() | Declined():
            return impossible("a capture succeeded that was not asked for")


def note_declined(state: State, message: CaptureDeclined) -> Decision:
    match state:
        case Capturing():
            return publish(PaymentDeclined(order_id=message.order_id, reason=message.reason))
        case Declined():
            return nothing("declined before")
        case Absent() | Noted() | Captured() | Refunding() | Refunded():
            return impossible("a capture was declined that was not asked for")


def refund(state: State, order_id: str, reason: str, refused_by: str, fee_minor: int) -> Decision:
    match state:
        case Captured():
            fee = min(fee_minor, state.captured_minor)
            amount = state.captured_minor - fee
            requested = PaymentRefundRequested(
                order_id=order_id,
                reason=reason,
                refused_by=refused_by,
                refund_minor=amount,
                fee_minor=fee,
            )
            effect = Refund(
                order_id=order_id,
                amount_minor=amount,
                currency=state.currency,
                provider_ref=state.provider_ref,
            )
            return Decision(events=(requested,), effects=(effect,))
        case Refunding() | Refunded():
            return nothing("refund is under way")
        case Absent() | Noted() | Capturing() | Declined():
            return impossible("a shipment was undone that no payment led to")


def note_refunded(state: State, message: RefundSucceeded) -> Decision:
    match state:
        case Refunding():
            refunded = PaymentRefunded(
                order_id=message.order_id,
                reason=state.reason,
                refused_by=state.refused_by,
                captured_minor=state.captured.captured_minor,
                refunded_minor=state.refund_minor,
                fee_minor=state.fee_minor,
                currency=state.captured.currency,
            )
            return publish(refunded)
        case Refunded():
            return nothing("refunded before")
        case Absent() | Noted() | Capturing() | Captured() | Declined():
            return impossible("a refund succeeded that was not asked for")


def note_cancellation(state: State, message: OrderCancellationRequested) -> Decision:
    match state:
        case Absent():
            noted = PaymentCancellationNoted(order_id=message.order_id, reason=message.reason)
            return publish(noted)
        case Noted() | Capturing() | Captured() | Declined() | Refunding() | Refunded():
            return nothing("the order is or will be passed on: downstream answers")
