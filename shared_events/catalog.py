"""Which event has which wire type, owner and topic: the one table that says so."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter

from shared_events import inventory, loyalty, order, payment, shipping


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of one event. `wire_type` is the CloudEvents type, such as `stock.reserved.v1`."""

    wire_type: str
    event: type[Any]
    owner: str
    topic: str
    subject: str
    adapter: TypeAdapter[Any]

    def subject_of(self, event: Any) -> str:
        """The key on Kafka: the order's id, or the id of what else the event is about."""
        holder = event.order if self.subject == "order" else event
        subject: str = getattr(holder, "order_id" if self.subject == "order" else self.subject)
        return subject


def topic_of(owner: str) -> str:
    return f"{owner}.events"


def dead_letters_of(owner: str) -> str:
    return f"{owner}.dead-letters"


DELIVERY_DETAILS: Final = "order.delivery-details"
COMPACTED: Final = frozenset({DELIVERY_DETAILS})
"""Topics of which only the newest record of a key is kept."""

_TYPES: Final[tuple[tuple[str, type[Any], str], ...]] = (
    ("order.placed.v1", order.OrderPlaced, "order"),
    ("order.confirmed.v1", order.OrderConfirmed, "order"),
    ("order.cancelled.v1", order.OrderCancelled, "order"),
    ("order.cancellation_requested.v1", order.OrderCancellationRequested, "order"),
    ("order.cancellation_refused.v1", order.OrderCancellationRefused, "order"),
    ("product.priced.v1", order.ProductPriced, "order"),
    ("order.delivery_details_given.v1", order.DeliveryDetailsGiven, "order"),
    ("stock.reserved.v1", inventory.StockReserved, "inventory"),
    ("stock.rejected.v1", inventory.StockRejected, "inventory"),
    ("stock.released.v1", inventory.StockReleased, "inventory"),
    ("stock.committed.v1", inventory.StockCommitted, "inventory"),
    ("stock.received.v1", inventory.StockReceived, "inventory"),
    ("stock.cancellation_noted.v1", inventory.StockCancellationNoted, "inventory"),
    ("payment.capture_requested.v1", payment.PaymentCaptureRequested, "payment"),
    ("payment.captured.v1", payment.PaymentCaptured, "payment"),
    ("payment.declined.v1", payment.PaymentDeclined, "payment"),
    ("payment.refund_requested.v1", payment.PaymentRefundRequested, "payment"),
    ("payment.refund_refused.v1", payment.PaymentRefundRefused, "payment"),
    ("payment.refunded.v1", payment.PaymentRefunded, "payment"),
    ("payment.cancellation_noted.v1", payment.PaymentCancellationNoted, "payment"),
    ("shipment.booking_requested.v1", shipping.ShipmentBookingRequested, "shipping"),
    ("shipment.created.v1", shipping.ShipmentCreated, "shipping"),
    ("shipment.rejected.v1", shipping.ShipmentRejected, "shipping"),
    ("shipment.approved.v1", shipping.ShipmentApproved, "shipping"),
    ("shipment.dispatch_requested.v1", shipping.ShipmentDispatchRequested, "shipping"),
    ("shipment.dispatched.v1", shipping.ShipmentDispatched, "shipping"),
    ("shipment.cancel_requested.v1", shipping.ShipmentCancelRequested, "shipping"),
    ("shipment.cancelled.v1", shipping.ShipmentCancelled, "shipping"),
    ("shipment.cancellation_refused.v1", shipping.ShipmentCancellationRefused, "shipping"),
    ("shipment.cancellation_noted.v1", shipping.ShipmentCancellationNoted, "shipping"),
    ("points.awarded.v1", loyalty.PointsAwarded, "loyalty"),
    ("points.rejected.v1", loyalty.PointsRejected, "loyalty"),
    ("points.deducted.v1", loyalty.PointsDeducted, "loyalty"),
    ("points.cancellation_noted.v1", loyalty.PointsCancellationNoted, "loyalty"),
    ("customer.suspended.v1", loyalty.CustomerSuspended, "loyalty"),
    ("customer.reinstated.v1", loyalty.CustomerReinstated, "loyalty"),
)


def _entry(wire_type: str, event: type[Any], owner: str) -> Entry:
    fields = event.__dataclass_fields__
    subject = next(name for name in ("order", "order_id", "sku", "customer_id") if name in fields)
    topic = DELIVERY_DETAILS if event is order.DeliveryDetailsGiven else topic_of(owner)
    return Entry(wire_type, event, owner, topic, subject, TypeAdapter(event))


ENTRIES: Final = tuple(_entry(*row) for row in _TYPES)
BY_TYPE: Final = MappingProxyType({entry.wire_type: entry for entry in ENTRIES})
BY_EVENT: Final = MappingProxyType({entry.event: entry for entry in ENTRIES})
