"""Bugs in the services' rules."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import inventory_svc.domain as inventory
import loyalty_svc.domain as loyalty
import order_svc.domain as order
import payment_svc.domain as payment
import shipping_svc.domain as shipping
from chassis.decision import Decision, nothing, publish
from shared_events import money
from shared_events.inventory import StockReserved
from shared_events.shipping import ShipmentRejected
from shipping_svc.messages import BookingCancelled, HandOver
from simulation.mutants.mutant import Mutant, Place

AT: Final = datetime(2026, 1, 1, tzinfo=UTC)  # a first refund goes by no time


def _nothing() -> Decision:
    return nothing("a deliberate bug")


def _no_tombstone(domain: Any, name: str) -> Callable[[], Sequence[Place]]:
    noted = getattr(domain, name)

    def note(state: Any, message: Any) -> Any:
        return _nothing() if state == domain.INITIAL else noted(state, message)

    return lambda: [(domain, name, note)]


def _silent_in(domain: Any, name: str, state_type: type[Any]) -> Callable[[], Sequence[Place]]:
    """A rule that says nothing in one state."""
    rule = getattr(domain, name)

    def silent(state: Any, *rest: Any) -> Any:
        return _nothing() if isinstance(state, state_type) else rule(state, *rest)

    return lambda: [(domain, name, silent)]


def _refund_at_once() -> Sequence[Place]:
    noted = payment.note_cancellation

    def note(state: Any, message: Any) -> Any:
        if not isinstance(state, payment.Captured):
            return noted(state, message)
        undone = ShipmentRejected(order_id=message.order_id, reason=message.reason)
        return payment.refund(state, undone, "order", AT, payment.POLICY)

    return [(payment, "note_cancellation", note)]


def _timer_forgotten() -> Sequence[Place]:
    approve = shipping.approve

    def approved(*words: Any) -> Any:
        return replace(approve(*words), effects=())

    return [(shipping, "approve", approved)]


def _cancel_at_once() -> Sequence[Place]:
    """The order says that all is undone as soon as it is asked."""
    requested = order.request_cancellation

    def request(state: Any, command: Any) -> Any:
        if not isinstance(state, order.Pending):
            return requested(state, command)
        return order.cancel(state, "customer", "order")

    return [(order, "request_cancellation", request)]


def _sell_what_is_not_there() -> Sequence[Place]:
    def reserve(state: Any, message: Any, _at: Any) -> Any:
        if isinstance(state.reservation, inventory.Absent):
            return publish(StockReserved(order=message.order))
        return _nothing()

    return [(inventory, "reserve", reserve)]


def _release_restores_nothing() -> Sequence[Place]:
    moved = inventory._moved  # noqa: SLF001 - a mutant

    def move(levels: Any, lines: Any, **by: int) -> Any:
        return moved(levels, lines, **{**by, "available": min(by.get("available", 0), 0)})

    return [(inventory, "_moved", move)]


def _cancel_what_has_left() -> Sequence[Place]:
    cancel = shipping.cancel

    def cancelled(state: Any, *rest: Any) -> Any:
        if isinstance(state, shipping.Leaving):
            fields = {n: getattr(state, n) for n in ("shipment_id", "carrier_ref", "total_minor")}
            decision = cancel(shipping.Approved(**fields), *rest)
            return replace(decision, dropped=(*decision.dropped, HandOver))
        return cancel(state, *rest)

    return [(shipping, "cancel", cancelled)]


def _refusals_do_not_count() -> Sequence[Place]:
    """A refused refund is asked for again under its old key."""
    asked = payment.refund_of

    def refund_of(order_id: str, state: Any, attempt: int) -> Any:
        return replace(asked(order_id, state, attempt), attempt=1)

    return [(payment, "refund_of", refund_of)]


def _fees_to_the_last_unit() -> Sequence[Place]:
    def unrounded(amount_minor: int, _currency: str) -> int:
        return amount_minor

    return [(money, "rounded", unrounded), (money, "rounded_down", unrounded)]


def _award_is_not_taken_back() -> Sequence[Place]:
    credited = loyalty._credited  # noqa: SLF001 - a mutant

    def credit(customers: Any, customer_id: str, points: int) -> Any:
        return credited(customers, customer_id, max(points, 0))

    return [(loyalty, "_credited", credit)]


def _refund_a_cent_more() -> Sequence[Place]:
    asked = payment.refund_of

    def refund_of(order_id: str, state: Any, attempt: int) -> Any:
        refund = asked(order_id, state, attempt)
        return replace(refund, amount_minor=refund.amount_minor + money.step(refund.currency))

    return [(payment, "refund_of", refund_of)]


def _booking_stays() -> Sequence[Place]:
    """Shipping calls a shipment cancelled that the carrier has booked still."""
    cancel = shipping.cancel

    def cancelled(state: Any, *rest: Any) -> Any:
        decision = cancel(state, *rest)
        if not decision.effects:
            return decision
        (requested,) = decision.events
        undone = shipping.note_cancelled(
            shipping.evolve(state, requested), BookingCancelled(order_id=requested.order_id)
        )
        return replace(decision, events=(requested, *undone.events), effects=())

    return [(shipping, "cancel", cancelled)]


MUTANTS: Final = (
    Mutant(
        "no-tombstone-loyalty",
        "a cancellation that overtakes the shipment is forgotten by the last participant",
        _no_tombstone(loyalty, "deduct"),
        ("G1",),
        ("reorder", "delay"),
    ),
    Mutant(
        "refund-out-of-order",
        "payment gives back before shipping is undone",
        _refund_at_once,
        ("G3",),
    ),
    Mutant(
        "cancelled-too-soon",
        "the order is cancelled before anything is undone",
        _cancel_at_once,
        ("G3",),
    ),
    Mutant(
        "oversell", "stock is reserved that is not there", _sell_what_is_not_there, ("G6",), seed=4
    ),
    Mutant(
        "release-restores-nothing",
        "released stock goes nowhere",
        _release_restores_nothing,
        ("G6",),
    ),
    Mutant(
        "cancel-after-dispatch",
        "a shipment that has left is cancelled",
        _cancel_what_has_left,
        ("G2",),
        seed=3,
    ),
    Mutant(
        "refusal-not-answered",
        "an order that is being cancelled does not hear that it is too late",
        _silent_in(order, "settle", order.Cancelling),
        ("G1",),
        seed=3,
    ),
    Mutant(
        "refund-refused-same-key",
        "a refused refund is asked for again under the same key",
        _refusals_do_not_count,
        ("G8",),
        seed=2,
    ),
    Mutant(
        "release-forgotten",
        "committed stock is not given back",
        _silent_in(inventory, "release", inventory.Committed),
        ("G1",),
    ),
    Mutant(
        "refund-a-cent-more",
        "more is given back than is written down",
        _refund_a_cent_more,
        ("G4",),
    ),
    Mutant(
        "booking-stays", "a cancelled shipment stays booked at the carrier", _booking_stays, ("G2",)
    ),
    Mutant(
        "timer-forgotten", "no timer lets an approved shipment leave", _timer_forgotten, ("G8",)
    ),
    Mutant(
        "points-kept", "deducted points stay with the customer", _award_is_not_taken_back, ("G2",)
    ),
    Mutant(
        "dispatched-stays-committed",
        "what the carrier has collected is on the shelf still",
        _silent_in(inventory, "ship", inventory.Committed),
        ("G6",),
    ),
    Mutant(
        "fees-to-the-last-unit",
        "fees are not rounded to what the provider takes in the currency",
        _fees_to_the_last_unit,
        ("G1",),
    ),
)
