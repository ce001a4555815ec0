"""Bugs in the services' rules."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, get_args

import inventory_svc.domain as inventory
import loyalty_svc.domain as loyalty
import order_svc.domain as order
import payment_svc.domain as payment
import shipping_svc.domain as shipping
from chassis.decision import Decision, nothing, publish
from shared_events import money
from shared_events.inventory import StockReserved
from shipping_svc.messages import BookingCancelled, HandOver
from simulation.machine import PatchedAttribute
from simulation.mutants.mutant import bug

AT: Final = datetime(2026, 1, 1, tzinfo=UTC)  # a first refund goes by no time


def _nothing() -> Decision:
    return nothing("a deliberate bug")


@bug(
    "a cancellation that overtakes the shipment is forgotten by the last participant",
    "G1",
    at=(loyalty, "deduct"),
    faults=("reorder", "delay"),
    seed=4,
)
def no_tombstone_loyalty(deduct: Any, state: Any, message: Any) -> Any:
    return _nothing() if state == loyalty.INITIAL else deduct(state, message)


@bug(
    "payment gives back before shipping is undone", "G3", at=(payment, "note_cancellation"), seed=8
)
def refund_out_of_order(noted: Any, state: Any, message: Any) -> Any:
    if not isinstance(state, payment.Captured):
        return noted(state, message)
    undone, *_ = get_args(payment.Undone)
    cause = undone(order_id=message.order_id, reason=message.reason)
    return payment.refund(state, cause, "order", AT, payment.POLICY)


@bug("no timer lets an approved shipment leave", "G8", at=(shipping, "approve"), seed=5)
def timer_forgotten(approve: Any, *words: Any) -> Any:
    return replace(approve(*words), effects=())


@bug(
    "the order is cancelled before anything is undone",
    "G3",
    at=(order, "request_cancellation"),
    seed=8,
)
def cancelled_too_soon(requested: Any, state: Any, command: Any) -> Any:
    """The order says that all is undone as soon as it is asked."""
    if not isinstance(state, order.Pending):
        return requested(state, command)
    return order.cancel(state, "customer", "order")


@bug("stock is reserved that is not there", "G6", at=(inventory, "reserve"), seed=8)
def oversell(_original: Any, state: Any, message: Any, _at: Any) -> Any:
    if isinstance(state.reservation, inventory.Absent):
        return publish(StockReserved(order=message.order))
    return _nothing()


@bug("released stock goes nowhere", "G6", at=(inventory, "_moved"), seed=4)
def release_restores_nothing(moved: Any, levels: Any, lines: Any, **by: int) -> Any:
    return moved(levels, lines, **{**by, "available": min(by.get("available", 0), 0)})


@bug("a shipment that has left is cancelled", "G2", at=(shipping, "cancel"), seed=6)
def cancel_after_dispatch(cancel: Any, state: Any, *rest: Any) -> Any:
    if not isinstance(state, shipping.Leaving):
        return cancel(state, *rest)
    fields = {n: getattr(state, n) for n in ("shipment_id", "carrier_ref", "total_minor")}
    decision = cancel(shipping.Approved(**fields), *rest)
    return replace(decision, dropped=(*decision.dropped, HandOver))


@bug(
    "a refused refund is asked for again under the same key",
    "G8",
    at=(payment, "refund_of"),
    seed=2,
    orders=20,
)
def refund_refused_same_key(asked: Any, order_id: str, state: Any, attempt: int) -> Any:
    return replace(asked(order_id, state, attempt), attempt=1)


@bug("fees are not rounded to what the provider takes in the currency", "G1", seed=2)
def fees_to_the_last_unit() -> Sequence[PatchedAttribute]:
    def unrounded(amount_minor: int, _currency: str) -> int:
        return amount_minor

    return [(money, "rounded", unrounded), (money, "rounded_down", unrounded)]


@bug("deducted points stay with the customer", "G2", at=(loyalty, "_credited"), seed=6)
def points_kept(credited: Any, customers: Any, customer_id: str, points: int) -> Any:
    return credited(customers, customer_id, max(points, 0))


@bug("more is given back than is written down", "G4", at=(payment, "refund_of"), seed=3)
def refund_a_cent_more(asked: Any, order_id: str, state: Any, attempt: int) -> Any:
    refund = asked(order_id, state, attempt)
    return replace(refund, amount_minor=refund.amount_minor + money.step(refund.currency))


@bug("a cancelled shipment stays booked at the carrier", "G2", at=(shipping, "cancel"), seed=6)
def booking_stays(cancel: Any, state: Any, *rest: Any) -> Any:
    """Shipping calls a shipment cancelled that the carrier has booked still."""
    decision = cancel(state, *rest)
    if not decision.effects:
        return decision
    (requested,) = decision.events
    undone = shipping.note_cancelled(
        shipping.evolve(state, requested), BookingCancelled(order_id=requested.order_id)
    )
    return replace(decision, events=(requested, *undone.events), effects=())


@bug(
    "an order that is being cancelled does not learn that it is too late",
    "G1",
    at=(order, "settle"),
    seed=3,
)
def refusal_not_answered(settle: Any, state: Any, *rest: Any) -> Any:
    return _nothing() if isinstance(state, order.Cancelling) else settle(state, *rest)


@bug("committed stock is not given back", "G1", at=(inventory, "release"), seed=2)
def release_forgotten(release: Any, state: Any, *rest: Any) -> Any:
    return _nothing() if isinstance(state, inventory.Committed) else release(state, *rest)


@bug("what the carrier has collected is on the shelf still", "G6", at=(inventory, "ship"), seed=7)
def dispatched_stays_committed(ship: Any, state: Any, *rest: Any) -> Any:
    return _nothing() if isinstance(state, inventory.Committed) else ship(state, *rest)
