"""Boring defaults: one customer orders two cups for 30.00 EUR."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from shared_events.inventory import (
    StockCommitted,
    StockReceived,
    StockRejected,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
    StockWrittenOff,
)
from shared_events.loyalty import PointsAwarded, PointsDeducted, PointsRejected
from shared_events.order import (
    OrderCancellationRequested,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    ProductPriced,
)
from shared_events.payment import (
    PaymentCaptured,
    PaymentCaptureRequested,
    PaymentDeclined,
    PaymentRefunded,
    PaymentRefundRefused,
    PaymentRefundRequested,
)
from shared_events.shipping import (
    ShipmentApproved,
    ShipmentBookingRequested,
    ShipmentCancellationRefused,
    ShipmentCancelled,
    ShipmentCancelRequested,
    ShipmentCreated,
    ShipmentDispatched,
    ShipmentDispatchRequested,
    ShipmentRejected,
)
from shared_events.values import Line, Order

PLACED_AT: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
IN_TIME: Final = PLACED_AT + timedelta(seconds=1)
DEADLINE: Final = PLACED_AT + timedelta(minutes=15)
TOO_LATE: Final = DEADLINE + timedelta(microseconds=1)
CUP: Final = Line(sku="CUP", quantity=2, unit_price_minor=1500)


def an_order(**changes: Any) -> Order:
    order = Order(
        order_id="o-1",
        customer_id="c-1",
        lines=(CUP,),
        total_minor=3000,
        currency="EUR",
        country="DE",
        placed_at=PLACED_AT,
        deadline=DEADLINE,
    )
    return replace(order, **changes)


def placed(**changes: Any) -> OrderPlaced:
    return OrderPlaced(order=an_order(**changes))


def cancellation_requested() -> OrderCancellationRequested:
    return OrderCancellationRequested(order_id="o-1", reason="customer")


def confirmed() -> OrderConfirmed:
    return OrderConfirmed(order_id="o-1")


def order_cancelled(
    reason: str = "customer", by: str = "order", refunded: int = 3000, fee: int = 0
) -> OrderCancelled:
    return OrderCancelled(
        order_id="o-1", reason=reason, refused_by=by, refunded_minor=refunded, fee_minor=fee
    )


def priced(sku: str = "CUP", price_minor: int = 1500, attempt: int = 1) -> ProductPriced:
    return ProductPriced(
        sku=sku, name="A cup", price_minor=price_minor, currency="EUR", attempt=attempt
    )


def received(quantity: int = 10, sku: str = "CUP", attempt: int = 1) -> StockReceived:
    return StockReceived(sku=sku, quantity=quantity, attempt=attempt)


def reserved(**changes: Any) -> StockReserved:
    return StockReserved(order=an_order(**changes))


def stock_rejected(reason: str = "out_of_stock") -> StockRejected:
    return StockRejected(order_id="o-1", reason=reason)


def released(
    reason: str = "customer", by: str = "order", refunded: int = 3000, fee: int = 0
) -> StockReleased:
    return StockReleased(
        order_id="o-1",
        lines=(CUP,),
        reason=reason,
        refused_by=by,
        refunded_minor=refunded,
        fee_minor=fee,
    )


def committed() -> StockCommitted:
    return StockCommitted(order_id="o-1", lines=(CUP,))


def shipped() -> StockShipped:
    return StockShipped(order_id="o-1", lines=(CUP,))


def written_off(quantity: int, attempt: int, reason: str = "damaged") -> StockWrittenOff:
    return StockWrittenOff(sku="CUP", quantity=quantity, reason=reason, attempt=attempt)


def returned(quantity: int, attempt: int) -> StockReturned:
    return StockReturned(sku="CUP", quantity=quantity, attempt=attempt)


def capture_requested(**changes: Any) -> PaymentCaptureRequested:
    return PaymentCaptureRequested(order=an_order(**changes))


def captured(**changes: Any) -> PaymentCaptured:
    return PaymentCaptured(order=an_order(**changes), captured_minor=3000, provider_ref="ch-1")


def declined(reason: str = "card_declined") -> PaymentDeclined:
    return PaymentDeclined(order_id="o-1", reason=reason)


def refund_requested(
    reason: str = "customer", by: str = "order", fee: int = 0, provider: int | None = None
) -> PaymentRefundRequested:
    """`fee` is for restocking; the provider keeps 0.67 of 30.00 where it was the customer's wish."""
    kept = provider_fee(reason) if provider is None else provider
    return PaymentRefundRequested(
        order_id="o-1",
        reason=reason,
        refused_by=by,
        refund_minor=3000 - fee - kept,
        fee_minor=fee + kept,
        restocking_fee_minor=fee,
        provider_fee_minor=kept,
    )


def refund_refused(
    attempt: int = 1, reason: str = "expired_or_canceled_card"
) -> PaymentRefundRefused:
    return PaymentRefundRefused(order_id="o-1", reason=reason, attempt=attempt)


def refunded(
    reason: str = "customer",
    by: str = "order",
    fee: int = 0,
    provider: int | None = None,
    settled_by: str = "provider",
) -> PaymentRefunded:
    kept = provider_fee(reason) if provider is None else provider
    return PaymentRefunded(
        order_id="o-1",
        reason=reason,
        refused_by=by,
        captured_minor=3000,
        refunded_minor=3000 - fee - kept,
        fee_minor=fee + kept,
        currency="EUR",
        restocking_fee_minor=fee,
        provider_fee_minor=kept,
        settled_by=settled_by,
    )


def booking_requested(**changes: Any) -> ShipmentBookingRequested:
    return ShipmentBookingRequested(order=an_order(**changes))


def provider_fee(reason: str) -> int:
    return 67 if reason == "customer" else 0


def shipment_created(**changes: Any) -> ShipmentCreated:
    return ShipmentCreated(order=an_order(**changes), shipment_id="SHP-o-1", carrier_ref="CAR-1")


def shipment_approved() -> ShipmentApproved:
    return ShipmentApproved(order_id="o-1")


def dispatch_requested() -> ShipmentDispatchRequested:
    return ShipmentDispatchRequested(order_id="o-1")


def dispatched() -> ShipmentDispatched:
    return ShipmentDispatched(order_id="o-1")


def shipment_cancel_requested(
    reason: str = "customer", by: str = "order", fee: int = 0
) -> ShipmentCancelRequested:
    return ShipmentCancelRequested(
        order_id="o-1", reason=reason, refused_by=by, restocking_fee_minor=fee
    )


def shipment_rejected(reason: str = "undeliverable_country") -> ShipmentRejected:
    return ShipmentRejected(order_id="o-1", reason=reason)


def shipment_cancelled(
    reason: str = "customer", by: str = "order", fee: int = 0
) -> ShipmentCancelled:
    return ShipmentCancelled(order_id="o-1", reason=reason, refused_by=by, restocking_fee_minor=fee)


def shipment_cancellation_refused() -> ShipmentCancellationRefused:
    return ShipmentCancellationRefused(order_id="o-1", reason="dispatched")


def awarded(attempt: int = 1) -> PointsAwarded:
    return PointsAwarded(order_id="o-1", customer_id="c-1", points=30, attempt=attempt)


def points_rejected(reason: str = "customer_suspended") -> PointsRejected:
    return PointsRejected(order_id="o-1", reason=reason)


def deducted(reason: str = "customer") -> PointsDeducted:
    return PointsDeducted(order_id="o-1", customer_id="c-1", points=30, reason=reason)
