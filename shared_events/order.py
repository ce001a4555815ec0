"""Published by the order service on its lanes and, for personal and card data, on compacted topics."""

from dataclasses import dataclass
from typing import Any, Final

from shared_events.values import Card, Count, Minor, Order, Personal, Public


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlaced:
    """The chain starts: stock is asked for."""

    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderConfirmed:
    """The pivot: every step is done."""

    order_id: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelled:
    """Everything upstream and downstream is undone; `reason` is the first refusal's."""

    order_id: Public
    reason: Public
    refused_by: Public
    refunded_minor: Minor = 0
    fee_minor: Minor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancellationRequested:
    """Everyone reads it; the first service that has not acted starts the way back."""

    order_id: Public
    reason: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancellationRefused:
    """The shipment had left: the order stays confirmed."""

    order_id: Public
    reason: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductPriced:
    """The catalogue's price of one SKU from now on; `attempt` counts its revisions."""

    sku: Public
    name: Public
    price_minor: Minor
    currency: Public
    attempt: Count = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryDetailsGiven:
    """Where an order goes: only on the compacted topic, erased by a tombstone of its key.

    What release 0.2 has published lacks customer and postal code.
    """

    order_id: Public
    name: Personal
    street: Personal
    city: Personal
    email: Personal
    postal_code: Personal = ""
    customer_id: Personal = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDetailsGiven:
    """What pays for an order: only on the compacted topic, erased by a tombstone of its key."""

    order_id: Public
    customer_id: Personal
    payment_token: Card


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerIdentified:
    """Whom a pseudonym stands for: only on the compacted topic, erased by a tombstone of its key."""

    pseudonym: Public
    customer_id: Personal


EVENTS: Final[tuple[tuple[str, type[Any]], ...]] = (
    ("order.placed.v1", OrderPlaced),
    ("order.confirmed.v1", OrderConfirmed),
    ("order.cancelled.v1", OrderCancelled),
    ("order.cancellation_requested.v1", OrderCancellationRequested),
    ("order.cancellation_refused.v1", OrderCancellationRefused),
    ("product.priced.v1", ProductPriced),
    ("order.delivery_details_given.v1", DeliveryDetailsGiven),
    ("order.payment_details_given.v1", PaymentDetailsGiven),
    ("customer.identified.v1", CustomerIdentified),
)
