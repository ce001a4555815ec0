"""Published by the shipping service on its lanes."""

from dataclasses import dataclass
from typing import Any, Final

from shared_events.values import Minor, Order, Public


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentBookingRequested:
    """The intent, recorded before the carrier is asked."""

    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentCreated:
    """A shipment is booked at the carrier: the points may be awarded."""

    order: Order
    shipment_id: Public
    carrier_ref: Public = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentRejected:
    """No shipment was made."""

    order_id: Public
    reason: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentApproved:
    """The order is confirmed: the shipment may leave."""

    order_id: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentDispatchRequested:
    """The carrier is told to collect it: from here on it can't be cancelled any more."""

    order_id: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentDispatched:
    """The carrier has it."""

    order_id: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentCancelRequested:
    """The compensation's intent and its price, recorded before the carrier is asked."""

    order_id: Public
    reason: Public
    refused_by: Public
    restocking_fee_minor: Minor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentCancelled:
    """The compensation of ShipmentCreated; the customer's share of its cost in minor units."""

    order_id: Public
    reason: Public
    refused_by: Public
    restocking_fee_minor: Minor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentCancellationRefused:
    """It left, or was about to, before the cancellation came."""

    order_id: Public
    reason: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentCancellationNoted:
    """A tombstone: the order was cancelled before it was seen here."""

    order_id: Public
    reason: Public


EVENTS: Final[tuple[tuple[str, type[Any]], ...]] = (
    ("shipment.booking_requested.v1", ShipmentBookingRequested),
    ("shipment.created.v1", ShipmentCreated),
    ("shipment.rejected.v1", ShipmentRejected),
    ("shipment.approved.v1", ShipmentApproved),
    ("shipment.dispatch_requested.v1", ShipmentDispatchRequested),
    ("shipment.dispatched.v1", ShipmentDispatched),
    ("shipment.cancel_requested.v1", ShipmentCancelRequested),
    ("shipment.cancelled.v1", ShipmentCancelled),
    ("shipment.cancellation_refused.v1", ShipmentCancellationRefused),
    ("shipment.cancellation_noted.v1", ShipmentCancellationNoted),
)
