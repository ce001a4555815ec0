"""The shipping service, as it is known from outside."""

from typing import Final

from chassis.manifest import Call, Manifest

MANIFEST: Final = Manifest(
    name="shipping",
    version="0.3.0-dev",
    port=8004,
    table="shipments",
    provider="carrier",
    calls=(
        Call("Booking", "Book", "shipment.booking_requested.v1", ("Booked", "BookingRefused")),
        Call("Dispatching", "HandOver", "shipment.dispatch_requested.v1", ("HandedOver",)),
        Call("Cancelling", "CancelBooking", "shipment.cancel_requested.v1", ("BookingCancelled",)),
    ),
    timers={"Approved": "DispatchDue"},
    final={"Cancelled": "shipment.cancelled.v1", "Rejected": "shipment.rejected.v1"},
)
