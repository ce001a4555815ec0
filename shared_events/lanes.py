"""Which of an owner's events go together: each lane is a topic of its own, such as `payment.forward`.

Whoever acts on one event of a lane acts on the others too, or on most: no service is woken by what
it passes over. The order of an order's events holds within a lane; `ce_sequence` says it over all lanes
of an owner.
"""

from typing import Final

FACTS: Final = "facts"
"""The lane of events on which no service acts: they are there for the log alone."""
FORMER: Final = {
    owner: (f"{owner}.events",)
    for owner in ("order", "inventory", "payment", "shipping", "loyalty")
}
"""Topics in which releases before the lanes published all events of an owner; they stay readable."""

# Made by `python -m tests.docs_pages` from who consumes what: do not edit.
LANES: Final = {
    "order.placed": "forward",
    "order.confirmed": "outcome",
    "order.cancellation_requested": "cancellation",
    "stock.reserved": "forward",
    "stock.rejected": "backward",
    "stock.released": "backward",
    "payment.captured": "forward",
    "payment.declined": "backward",
    "payment.refunded": "backward",
    "shipment.created": "forward",
    "shipment.rejected": "backward",
    "shipment.dispatched": "outcome",
    "shipment.cancelled": "backward",
    "shipment.cancellation_refused": "forward",
    "points.awarded": "forward",
    "points.rejected": "backward",
    "points.deducted": "backward",
}
# The end of what is made by `python -m tests.docs_pages`.
"""By the event's name; the others are facts."""
