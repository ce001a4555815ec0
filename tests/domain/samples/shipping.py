"""Shipments."""

from typing import Any, Final

from shared_events.shipping import ShipmentCancellationNoted
from shipping_svc.domain import Input, State
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
from shipping_svc.service import SERVICE
from tests.domain.builders import (
    booking_requested,
    cancellation_requested,
    captured,
    confirmed,
    deducted,
    dispatch_requested,
    dispatched,
    points_rejected,
    shipment_approved,
    shipment_cancel_requested,
    shipment_cancellation_refused,
    shipment_cancelled,
    shipment_created,
    shipment_rejected,
)
from tests.domain.samples import Samples

NOTED: Final = ShipmentCancellationNoted(order_id="o-1", reason="customer")
DISPATCH: Final = DispatchShipment(order_id="o-1")
DUE: Final = DispatchDue(order_id="o-1")
BOOK: Final = Book(order_id="o-1", shipment_id="SHP-o-1", country="DE")
HAND_OVER: Final = HandOver(order_id="o-1", carrier_ref="CAR-1")
CANCEL_BOOKING: Final = CancelBooking(order_id="o-1", carrier_ref="CAR-1")
BOOKED: Final = Booked(order_id="o-1", carrier_ref="CAR-1")
REFUSED: Final = BookingRefused(order_id="o-1", reason="carrier_refused")
HANDED_OVER: Final = HandedOver(order_id="o-1")
BOOKING_CANCELLED: Final = BookingCancelled(order_id="o-1")
NO_TIMER: Final = (DispatchDue,)
BOOKING: Final = (booking_requested(),)
CREATED: Final = (*BOOKING, shipment_created())
APPROVED: Final = (*CREATED, shipment_approved())
DISPATCHING: Final = (*APPROVED, dispatch_requested())
DISPATCHING_REFUSED: Final = (*DISPATCHING, shipment_cancellation_refused())
DISPATCHED: Final = (*DISPATCHING, dispatched())
TOO_LATE_TO_CANCEL: Final = (*DISPATCHED, shipment_cancellation_refused())
CANCELLING: Final = (*CREATED, shipment_cancel_requested())
CANCELLED: Final = (*CANCELLING, shipment_cancelled())
REJECTED: Final = (*BOOKING, shipment_rejected())
NEVER_BOOKED: Final[tuple[tuple[Any, ...], ...]] = ((), (NOTED,), REJECTED)
LEAVING: Final[tuple[tuple[Any, ...], ...]] = (
    DISPATCHING,
    DISPATCHING_REFUSED,
    DISPATCHED,
    TOO_LATE_TO_CANCEL,
)

SAMPLES: Final = Samples(
    service=SERVICE,
    states=State,
    inputs=Input,
    histories={
        "Absent": (),
        "Noted": (NOTED,),
        "Booking": BOOKING,
        "Created": CREATED,
        "Approved": APPROVED,
        "Dispatching": DISPATCHING,
        "Dispatching, cancellation refused before": DISPATCHING_REFUSED,
        "Dispatched": DISPATCHED,
        "Dispatched, cancellation refused before": TOO_LATE_TO_CANCEL,
        "Cancelling": CANCELLING,
        "Cancelled": CANCELLED,
        "Rejected": REJECTED,
    },
    messages={
        "DispatchShipment": DISPATCH,
        "DispatchDue": DUE,
        "payment.captured": captured(),
        "payment.captured, no carrier goes there": captured(country="AQ"),
        "Booked": BOOKED,
        "BookingRefused": REFUSED,
        "order.cancellation_requested": cancellation_requested(),
        "order.confirmed": confirmed(),
        "points.rejected": points_rejected(),
        "points.deducted": deducted(),
        "BookingCancelled": BOOKING_CANCELLED,
        "HandedOver": HANDED_OVER,
    },
)
