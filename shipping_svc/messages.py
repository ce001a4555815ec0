"""Messages to shipping other than its neighbours' events: a command, a timer, a carrier's answers.

commands   DispatchShipment
timers     DispatchDue
effects    Book -> Booked | BookingRefused; HandOver -> HandedOver;
           CancelBooking -> BookingCancelled
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchShipment:
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchDue:
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """`postal_code` is in bookings of orders of release 0.2; later it is looked up for each call."""

    order_id: str
    shipment_id: str
    country: str
    postal_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    order_id: str
    carrier_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelBooking:
    order_id: str
    carrier_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    order_id: str
    carrier_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingRefused:
    order_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingCancelled:
    order_id: str
