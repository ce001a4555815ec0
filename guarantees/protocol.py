"""The choreography as data: who follows whom, forward and backward, and what each service ends in.

No service knows this. The checks, the explanation of a slow order and the reports derive from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from guarantees.services import SERVICES


@dataclass(frozen=True, slots=True)
class Step:
    """One service's part in an order.

    `forward` is the event that takes the order on, `back` the one that compensates it. `confirmed`
    are its states in a confirmed order, `cancelled` those in a cancelled one, in which it may also be
    in a state of UNSEEN.
    """

    service: str
    forward: str
    back: str
    confirmed: frozenset[str]
    cancelled: frozenset[str]


UNSEEN: Final = frozenset({"Absent", "Noted"})
"""A service has not seen the order, or its cancellation alone."""


@dataclass(frozen=True, slots=True)
class Hop:
    """While `by` is in a state of `sent` and `to` in one of `undecided`, `to` has not decided on `event`.

    `leads_to` are the events that `to` decides on it: none of them stands in the log before `event`,
    or another one that leads to it. Where `event` alone is no proof, as it may have come
    earlier for another reason, `proof` is the event that has to stand there instead.
    """

    event: str
    by: str
    sent: frozenset[str]
    to: str
    undecided: frozenset[str]
    leads_to: frozenset[str]
    proof: str


def _step(service: str, forward: str, back: str, confirmed: str, cancelled: str) -> Step:
    return Step(service, forward, back, frozenset(confirmed.split()), frozenset(cancelled.split()))


def _hop(event: str, by: str, to: str, leads_to: str = "", proof: str = "") -> Hop:
    """`by` and `to` are a service and its states each."""
    (sender, *sent), (reader, *undecided) = by.split(), to.split()
    decided = frozenset(leads_to.split())
    states = frozenset(sent), reader, frozenset(undecided)
    return Hop(event, sender, *states, decided, proof or event)


STEPS: Final = (
    _step("order", "order.placed.v1", "order.cancelled.v1", "Confirmed", "Cancelled"),
    _step(
        "inventory",
        "stock.reserved.v1",
        "stock.released.v1",
        "Committed Shipped",
        "Released Rejected",
    ),
    _step("payment", "payment.captured.v1", "payment.refunded.v1", "Captured", "Refunded Declined"),
    _step(
        "shipping",
        "shipment.created.v1",
        "shipment.cancelled.v1",
        "Approved Dispatching Dispatched",
        "Cancelled Rejected",
    ),
    _step("loyalty", "points.awarded.v1", "points.deducted.v1", "Awarded", "Deducted Rejected"),
)
"""In the order in which an order passes the services; it is undone in the reverse order."""
CONFIRMED: Final = "order.confirmed.v1"
LEAVING: Final = frozenset({"Dispatching", "Dispatched"})
"""States of a shipment that can't be called back."""
_LEAVING: Final = " ".join(sorted(LEAVING))
HOPS: Final = (
    _hop(
        "order.placed.v1",
        "order Pending Cancelling",
        "inventory Absent Noted",
        "stock.reserved.v1 stock.rejected.v1",
    ),
    _hop(
        "stock.reserved.v1",
        "inventory Reserved",
        "payment Absent Noted",
        "payment.capture_requested.v1 payment.declined.v1",
    ),
    _hop(
        "payment.captured.v1",
        "payment Captured",
        "shipping Absent Noted",
        "shipment.booking_requested.v1 shipment.rejected.v1",
    ),
    _hop(
        "shipment.created.v1",
        "shipping Created",
        "loyalty Absent Noted",
        "points.awarded.v1 points.rejected.v1",
    ),
    _hop("points.awarded.v1", "loyalty Awarded", "order Pending", CONFIRMED),
    _hop(CONFIRMED, "order Confirmed", "inventory Reserved", "stock.committed.v1"),
    _hop(CONFIRMED, "order Confirmed", "shipping Created", "shipment.approved.v1"),
    _hop(
        "shipment.dispatched.v1",
        "shipping Dispatched",
        "inventory Reserved Committed",
        "stock.shipped.v1",
    ),
    _hop(
        "order.cancellation_requested.v1",
        "order Cancelling",
        "loyalty Awarded",
        "points.deducted.v1",
    ),
    _hop(
        "points.rejected.v1", "loyalty Rejected", "shipping Created", "shipment.cancel_requested.v1"
    ),
    _hop(
        "points.deducted.v1",
        "loyalty Deducted",
        f"shipping Created Approved {_LEAVING}",
        "shipment.cancel_requested.v1 shipment.cancellation_refused.v1",
    ),
    _hop("shipment.cancellation_refused.v1", f"shipping {_LEAVING}", "loyalty Deducted"),
    _hop(
        "shipment.rejected.v1",
        "shipping Rejected",
        "payment Captured",
        "payment.refund_requested.v1",
    ),
    _hop(
        "shipment.cancelled.v1",
        "shipping Cancelled",
        "payment Captured",
        "payment.refund_requested.v1",
    ),
    _hop("payment.declined.v1", "payment Declined", "inventory Reserved", "stock.released.v1"),
    _hop(
        "payment.refunded.v1",
        "payment Refunded",
        "inventory Reserved Committed",
        "stock.released.v1",
    ),
    _hop(
        "stock.rejected.v1", "inventory Rejected", "order Pending Cancelling", "order.cancelled.v1"
    ),
    _hop(
        "stock.released.v1", "inventory Released", "order Pending Cancelling", "order.cancelled.v1"
    ),
)
AGAIN: Final = _hop(
    "points.awarded.v1",
    "loyalty Awarded",
    "order Cancelling",
    "order.cancellation_refused.v1",
    proof="shipment.cancellation_refused.v1",
)
"""The second award, after a shipment that can't be called back: on its way only where there is one."""

SETTLED: Final = STEPS[0].confirmed | STEPS[0].cancelled
"""States of an order that is on its way no more."""
FUNNEL: Final = (*(step.forward for step in STEPS), CONFIRMED, STEPS[0].back)
"""The events by which a report counts how far orders come, and their two ends."""
COMPENSATIONS: Final = tuple(step.back for step in reversed(STEPS))
"""In the order in which they happen."""
CALLS: Final[Mapping[tuple[str, str], str]] = {
    (manifest.name, call.state): call.kind for manifest in SERVICES for call in manifest.calls
}
"""Kinds of effects, by the service and the state in which it waits for the outcome."""
INTENTS: Final[Mapping[str, str]] = {
    call.kind: call.intent for manifest in SERVICES for call in manifest.calls
}
"""What stands in the log before a provider is called, by the kind of the effect."""
LAST: Final = frozenset(event for manifest in SERVICES for event in manifest.final.values())
"""Nothing of the same service follows for that order."""

PRECEDENTS: Final[Mapping[str, frozenset[str]]] = {
    event: frozenset(other.proof for other in (*HOPS, AGAIN) if event in other.leads_to)
    for hop in (*HOPS, AGAIN)
    for event in hop.leads_to
}
"""One of these stands in the log before an event may be decided on, forward and backward."""
