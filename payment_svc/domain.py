"""Payment: takes the money once the stock is held, and gives it back when a later step is undone.

consumes   StockReserved from inventory; OrderCancellationRequested from order;
           ShipmentRejected, ShipmentCancelled from shipping
publishes  PaymentCaptureRequested, PaymentCaptured, PaymentDeclined, PaymentRefundRequested,
           PaymentRefundRefused, PaymentRefunded, PaymentCancellationNoted
effects    Capture, Refund: asked of the provider outside the transaction, by one key each
state      Absent -> Capturing -> Captured -> Refunding -> Refunded, or Declined; Noted is a tombstone
fees       a customer who changed their mind pays for restocking and what the provider keeps, in
           steps of the currency; a failure of our own is refunded in full
refused    a refund that the provider refuses is owed still, and asked for again as a new one
repeats    a fact that comes twice, or too late, decides nothing
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Any, Final, TypeAlias

from chassis.decision import Decision, Later, impossible, nothing, publish
from payment_svc.messages import (
    Capture,
    CaptureDeclined,
    CaptureSucceeded,
    Refund,
    RefundRefused,
    RefundSucceeded,
)
from shared_events import money
from shared_events.inventory import StockReserved
from shared_events.order import OrderCancellationRequested
from shared_events.payment import (
    PaymentCancellationNoted,
    PaymentCaptured,
    PaymentCaptureRequested,
    PaymentDeclined,
    PaymentRefunded,
    PaymentRefundRefused,
    PaymentRefundRequested,
)
from shared_events.shipping import ShipmentCancelled, ShipmentRejected
from shared_events.values import Order

CUSTOMER: Final = "customer"  # the reason of a cancellation that is the customer's own wish
PATIENCE_MIN: Final = timedelta(minutes=1)  # after a refused refund; doubling
PATIENCE_MAX: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the provider keeps of a payment that is refunded: its fee, in basis points and fixed.

    The fixed part is in hundredths of a currency's unit, unless `provider_fee_fixed` names the
    currency: then it is in its minor units.
    """

    provider_fee_bps: int = 140
    provider_fee_fixed_minor: int = 25
    provider_fee_fixed: Mapping[str, int] = field(default_factory=dict)

    def provider_fee_minor(self, captured_minor: int, currency: str) -> int:
        """Rounded half up to the currency's step."""
        share = (captured_minor * self.provider_fee_bps + 5_000) // 10_000
        hundredths = self.provider_fee_fixed_minor * 10 ** money.exponent(currency) // 100
        fixed = self.provider_fee_fixed.get(currency, hundredths)
        return money.rounded(share + fixed, currency)


@dataclass(frozen=True, slots=True)
class Absent:
    """The service has stored nothing of this order."""


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
    customer_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    reason: str
    customer_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunding:
    captured: Captured
    reason: str
    refused_by: str
    refund_minor: int
    fee_minor: int
    restocking_fee_minor: int = 0
    provider_fee_minor: int = 0
    refusals: int = 0
    last_refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded:
    captured: Captured
    reason: str
    refunded_minor: int
    fee_minor: int
    restocking_fee_minor: int = 0
    provider_fee_minor: int = 0
    settled_by: str = "provider"


State: TypeAlias = Absent | Noted | Capturing | Captured | Declined | Refunding | Refunded
Input: TypeAlias = (
    StockReserved
    | OrderCancellationRequested
    | ShipmentRejected
    | ShipmentCancelled
    | CaptureSucceeded
    | CaptureDeclined
    | RefundSucceeded
    | RefundRefused
)
FIRST: Final = (StockReserved,)  # with which an order usually begins here
Event: TypeAlias = (
    PaymentCaptureRequested
    | PaymentCaptured
    | PaymentDeclined
    | PaymentRefundRequested
    | PaymentRefundRefused
    | PaymentRefunded
    | PaymentCancellationNoted
)
Undone: TypeAlias = ShipmentRejected | ShipmentCancelled
INITIAL = Absent()
POLICY: Final = Policy()


def decide(state: State, message: Input, at: datetime, policy: Policy = POLICY) -> Decision:
    match message:
        case StockReserved():
            return capture(state, message.order, at)
        case OrderCancellationRequested():
            return note_cancellation(state, message)
        case ShipmentRejected():
            return refund(state, message, "shipping", at, policy)
        case ShipmentCancelled():
            return refund(state, message, message.refused_by, at, policy)
        case CaptureSucceeded():
            return note_captured(state, message)
        case CaptureDeclined():
            return note_declined(state, message)
        case RefundSucceeded():
            return note_refunded(state, message)
        case RefundRefused():
            return note_refused(state, message, at)


def evolve(state: State, event: Event) -> State:
    match event:
        case PaymentCaptureRequested(order=order):
            return Capturing(order=order)
        case PaymentCaptured(order=order):
            return Captured(
                captured_minor=event.captured_minor,
                currency=order.currency,
                provider_ref=event.provider_ref,
                customer_id=order.customer_id,
            )
        case PaymentDeclined(reason=reason):
            return Declined(reason=reason, customer_id=customer_of(state))
        case PaymentRefundRequested():
            assert isinstance(state, Captured), "only what was captured is refunded"
            return Refunding(
                captured=state,
                reason=event.reason,
                refused_by=event.refused_by,
                refund_minor=event.refund_minor,
                fee_minor=event.fee_minor,
                restocking_fee_minor=event.restocking_fee_minor,
                provider_fee_minor=event.provider_fee_minor,
            )
        case PaymentRefundRefused():
            assert isinstance(state, Refunding), "a refund is requested before it is refused"
            return replace(state, refusals=event.attempt, last_refusal=event.reason)
        case PaymentRefunded():
            assert isinstance(state, Refunding), "a refund is requested before it is done"
            return Refunded(
                captured=state.captured,
                reason=event.reason,
                refunded_minor=event.refunded_minor,
                fee_minor=event.fee_minor,
                restocking_fee_minor=event.restocking_fee_minor,
                provider_fee_minor=event.provider_fee_minor,
                settled_by=event.settled_by,
            )
        case PaymentCancellationNoted():
            return Noted()


def customer_of(state: State) -> str:
    """Whose payment it is; "" where the service was never asked for one, or asked by an older release."""
    match state:
        case Capturing(order=order):
            return order.customer_id
        case Captured() | Declined():
            return state.customer_id
        case Refunding() | Refunded():
            return state.captured.customer_id
        case Absent() | Noted():
            return ""


def awaited(state: State, order_id: str, since: datetime) -> tuple[Any, ...]:
    """What a state waits for from outside; `since` is when its last event was decided."""
    match state:
        case Capturing(order=order):
            charge = Capture(
                order_id=order_id,
                amount_minor=order.total_minor,
                currency=order.currency,
                token=order.payment_token,
                deadline=order.deadline,
            )
            return (charge,)
        case Refunding(refusals=0):
            return (refund_of(order_id, state, attempt=1),)
        case Refunding(refusals=refusals):
            wait = min(PATIENCE_MIN * 2 ** min(refusals - 1, 10), PATIENCE_MAX)
            return (Later(since + wait, refund_of(order_id, state, refusals + 1)),)
        case Absent() | Noted() | Captured() | Declined() | Refunded():
            return ()


def intended(state: State, order_id: str, at: datetime, *events: Event) -> Decision:
    """The intent is recorded first; what is owed then is asked for outside."""
    return Decision(events=events, effects=awaited(reduce(evolve, events, state), order_id, at))


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
    requested = PaymentCaptureRequested(order=order)
    if order.total_minor == 0:  # nobody is asked for nothing
        return publish(
            requested, PaymentCaptured(order=order, captured_minor=0, provider_ref="nothing")
        )
    return intended(state, order.order_id, at, requested)


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


def refund(
    state: State, message: Undone, refused_by: str, at: datetime, policy: Policy
) -> Decision:
    match state:
        case Captured():
            restocking, provider = fees(message, state, policy)
            requested = PaymentRefundRequested(
                order_id=message.order_id,
                reason=message.reason,
                refused_by=refused_by,
                refund_minor=state.captured_minor - restocking - provider,
                fee_minor=restocking + provider,
                restocking_fee_minor=restocking,
                provider_fee_minor=provider,
            )
            return asked_for(requested, state, at)
        case Refunding() | Refunded():
            return nothing("refund is under way")
        case Absent() | Noted() | Capturing() | Declined():
            return impossible("a shipment was undone that no payment led to")


def fees(message: Undone, state: Captured, policy: Policy) -> tuple[int, int]:
    """For restocking and for the provider, in the currency's steps; never more than was captured.

    Shipping tells its share to the last minor unit: it is rounded down here.
    """
    captured, currency = state.captured_minor, state.currency
    match message:
        case ShipmentCancelled(reason=reason) if reason == CUSTOMER:
            restocking = money.rounded_down(min(message.restocking_fee_minor, captured), currency)
            provider = policy.provider_fee_minor(captured, currency)
            return restocking, min(provider, captured - restocking)
        case ShipmentCancelled() | ShipmentRejected():
            return 0, 0


def asked_for(requested: PaymentRefundRequested, state: Captured, at: datetime) -> Decision:
    """Nobody is asked for nothing."""
    order_id = requested.order_id
    if requested.refund_minor == 0:
        free = RefundSucceeded(order_id=order_id, settled_by="fees")
        return publish(requested, *note_refunded(evolve(state, requested), free).events)
    return intended(state, order_id, at, requested)


def refund_of(order_id: str, state: Refunding, attempt: int) -> Refund:
    return Refund(
        order_id=order_id,
        amount_minor=state.refund_minor,
        currency=state.captured.currency,
        provider_ref=state.captured.provider_ref,
        attempt=attempt,
    )


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
                restocking_fee_minor=state.restocking_fee_minor,
                provider_fee_minor=state.provider_fee_minor,
                settled_by=message.settled_by,
            )
            return publish(refunded)
        case Refunded():
            return nothing("refunded before")
        case Absent() | Noted() | Capturing() | Captured() | Declined():
            return impossible("a refund succeeded that was not asked for")


def note_refused(state: State, message: RefundRefused, at: datetime) -> Decision:
    match state:
        case Refunding():
            refused = PaymentRefundRefused(
                order_id=message.order_id, reason=message.reason, attempt=state.refusals + 1
            )
            return intended(state, message.order_id, at, refused)
        case Refunded():
            return nothing("refunded before")
        case Absent() | Noted() | Capturing() | Captured() | Declined():
            return impossible("a refund was refused that was not asked for")


def note_cancellation(state: State, message: OrderCancellationRequested) -> Decision:
    match state:
        case Absent():
            noted = PaymentCancellationNoted(order_id=message.order_id, reason=message.reason)
            return publish(noted)
        case Noted() | Capturing() | Captured() | Declined() | Refunding() | Refunded():
            return nothing("the order is or will be passed on: downstream answers")
