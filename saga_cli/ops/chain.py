"""The chain as an operator sees it: from two neighbours' states, which event is on its way.

No service knows this; it is drawn together here to explain an order that takes long.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Hop:
    """While one is in a state of `sent` and the other of `unheard`, `event` has not been decided on."""

    event: str
    by: str
    sent: frozenset[str]
    to: str
    unheard: frozenset[str]


def _hop(event: str, by: str, sent: str, to: str, unheard: str) -> Hop:
    return Hop(event, by, frozenset(sent.split()), to, frozenset(unheard.split()))


LEAVING: Final = "Dispatching Dispatched"
"""States of a shipment that can't be called back."""
HOPS: Final = (
    _hop("order.placed.v1", "order", "Pending Cancelling", "inventory", "Absent Noted"),
    _hop("stock.reserved.v1", "inventory", "Reserved", "payment", "Absent Noted"),
    _hop("payment.captured.v1", "payment", "Captured", "shipping", "Absent Noted"),
    _hop("shipment.created.v1", "shipping", "Created", "loyalty", "Absent Noted"),
    _hop("points.awarded.v1", "loyalty", "Awarded", "order", "Pending"),
    _hop("order.confirmed.v1", "order", "Confirmed", "inventory", "Reserved"),
    _hop("order.confirmed.v1", "order", "Confirmed", "shipping", "Created"),
    _hop("shipment.dispatched.v1", "shipping", "Dispatched", "inventory", "Reserved Committed"),
    _hop("order.cancellation_requested.v1", "order", "Cancelling", "loyalty", "Awarded"),
    _hop("points.rejected.v1", "loyalty", "Rejected", "shipping", "Created"),
    _hop("points.deducted.v1", "loyalty", "Deducted", "shipping", f"Created Approved {LEAVING}"),
    _hop("shipment.cancellation_refused.v1", "shipping", LEAVING, "loyalty", "Deducted"),
    _hop("shipment.rejected.v1", "shipping", "Rejected", "payment", "Captured"),
    _hop("shipment.cancelled.v1", "shipping", "Cancelled", "payment", "Captured"),
    _hop("payment.declined.v1", "payment", "Declined", "inventory", "Reserved"),
    _hop("payment.refunded.v1", "payment", "Refunded", "inventory", "Reserved Committed"),
    _hop("stock.rejected.v1", "inventory", "Rejected", "order", "Pending Cancelling"),
    _hop("stock.released.v1", "inventory", "Released", "order", "Pending Cancelling"),
)
AGAIN: Final = _hop("points.awarded.v1", "loyalty", "Awarded", "order", "Cancelling")
"""The second award, which a shipment that leaves leads to: on its way only where there is one."""
WORK: Final = {
    ("payment", "Capturing"): "Capture",
    ("payment", "Refunding"): "Refund",
    ("shipping", "Booking"): "Book",
    ("shipping", "Dispatching"): "HandOver",
    ("shipping", "Cancelling"): "CancelBooking",
}
"""States in which a service waits for an outside party, and what it asked of it."""
SETTLED: Final = frozenset({"Confirmed", "Cancelled"})
