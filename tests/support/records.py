"""Events as Kafka records, for tests that play a neighbour."""

import itertools
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from chassis import ids
from chassis.decide import published_by as published
from chassis.events import Envelope, event_id
from chassis.kafka import records
from chassis.message import Message, Record
from shared_events.catalog import CATALOG
from shared_events.codec import encode
from shared_events.order import OrderConfirmed, OrderPlaced
from shared_events.payment import PaymentCaptured, PaymentDeclined
from shared_events.values import Line, Order

message_of = partial(records.message_of, CATALOG)
published_by = partial(published, CATALOG)
OFFSETS: Final = itertools.count()
"""Of records that one process of tests makes: two of a topic never have one place."""
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def an_order(order_id: str | None = None, **changes: Any) -> Order:
    at = datetime.now(UTC)
    fields: dict[str, Any] = {
        "order_id": order_id or ids.new_id(),
        "customer_id": "alice",
        "lines": (Line(sku="CLOCK", quantity=1, unit_price_minor=1000),),
        "total_minor": 1000,
        "currency": "EUR",
        "payment_token": "tok_visa",
        "country": "DE",
        "postal_code": "10115",
        "placed_at": at,
        "deadline": at + timedelta(hours=1),
    }
    return Order(**(fields | changes))


def captured(order: Order | None = None) -> PaymentCaptured:
    """With which an order begins at shipping, the service by which tests try the mechanism."""
    return PaymentCaptured(order=order or an_order(), captured_minor=1000, provider_ref="p")


def a_record(event: Any, offset: int = 0, partition: int = 0) -> Record:
    entry = CATALOG.entry_of(event)
    subject = entry.subject_of(event)
    attempt = getattr(event, "attempt", 1)
    envelope = Envelope(
        id=event_id(subject, entry.wire_type, attempt),
        type=entry.wire_type,
        source=f"/{entry.owner}",
        subject=subject,
        time=datetime.now(UTC),
        sequence=1,
        saga_id=subject,
        causation_id="test",
        traceparent=TRACE,
        event=event,
    )
    value, headers = encode(envelope)
    return Record(entry.topic, partition, offset, subject.encode(), value, tuple(headers))


def a_message(event: Any, offset: int = 0) -> Message:
    message = message_of(a_record(event, offset))
    assert isinstance(message, Message)
    return message


def about(event: Any) -> Message:
    """At a place of its own."""
    return a_message(event, next(OFFSETS))


def wanting(sku: str = "CLOCK", quantity: int = 1) -> Order:
    return an_order(lines=(Line(sku=sku, quantity=quantity, unit_price_minor=1),))


def placed(order: Order) -> Message:
    return about(OrderPlaced(order=order))


def confirmed(order: Order) -> Message:
    return about(OrderConfirmed(order_id=order.order_id))


def declined(order: Order) -> Message:
    return about(PaymentDeclined(order_id=order.order_id, reason="card_declined"))
