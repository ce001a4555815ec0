"""What must hold of every step, every state and every end, by the name of the guarantee it breaks."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chassis.decision import Decision
from guarantees.protocol import AGAIN, CALLS, HOPS, SETTLED, STEPS, UNSEEN
from guarantees.services import SERVICES
from inventory_svc import domain as inventory
from inventory_svc.domain import Level
from loyalty_svc import domain as loyalty
from order_svc import domain as order
from payment_svc import domain as payment
from shared_events.inventory import StockRejected, StockReleased
from shared_events.loyalty import PointsRejected
from shared_events.order import OrderCancellationRequested, OrderCancelled
from shared_events.payment import PaymentDeclined, PaymentRefundRequested
from shared_events.shipping import (
    ShipmentCancelRequested,
    ShipmentDispatchRequested,
    ShipmentRejected,
)
from shipping_svc import domain as shipping
from tests.choreography.world import World, identity

LAST: Final = frozenset((m.name, state) for m in SERVICES for state in m.final)
"""States that never change again."""
HOLDING: Final = inventory.Reserved | inventory.Committed | inventory.Shipped
REFUSALS: Final = {
    OrderCancellationRequested,
    StockRejected,
    PaymentDeclined,
    ShipmentRejected,
    PointsRejected,
}
TIMED: Final = {(m.name, state): kind for m in SERVICES for state, kind in m.timers.items()}
"""States that a timer ends, if nothing else does."""


def of_step(before: World, after: World) -> Iterator[str]:
    answer = after.answer
    if isinstance(answer, Decision) and answer.impossible:
        yield f"G1 parked: {answer.impossible}"
    for event in after.published[len(before.published) :]:
        if not is_in_reverse_order(before, event):
            yield f"G3 too early: {type(event).__name__}"
        if any(identity(event) == identity(earlier) for earlier in before.published):
            yield f"G4 twice: {type(event).__name__}"
    for outstanding_effects in after.effects if after.effects is not before.effects else ():
        if (
            outstanding_effects in before.answers or after.effects.count(outstanding_effects) > 1
        ) and outstanding_effects not in before.effects:
            yield f"G4 asked for anew: {outstanding_effects[1]}"
    if after.own is before.own:
        return
    for name, state in before.own.items():
        if (name, type(state).__name__) in LAST and after.own[name] != state:
            yield f"I8 {name} left {type(state).__name__}"
    yield from of_waiting(after)


def of_waiting(world: World) -> Iterator[str]:
    """Whoever waits has asked for something or has a timer, or the next to act is known."""
    states = {name: type(state).__name__ for name, state in world.own.items()}
    outstanding_effects = {(name, type(effect).__name__) for name, effect in world.effects}
    timers = {(name, type(timer).__name__) for name, timer in world.timers}
    for (name, state), kind in CALLS.items():
        if states[name] == state and (name, kind) not in outstanding_effects:
            yield f"G1 forgotten: {name} {state}"
    for (name, state), timer in TIMED.items():
        if states[name] == state and (name, timer) not in timers:
            yield f"G1 without a timer: {name} {state}"
    acting = any(states[name] == state for name, state in CALLS)
    moving = any(states[h.by] in h.sent and states[h.to] in h.undecided for h in (*HOPS, AGAIN))
    if states["order"] not in SETTLED and not acting and not moving:
        yield f"G1 nobody is to act: {states}"


def of_end(world: World) -> Iterator[str]:
    """No message waits, no call is owed."""
    match world.own["order"]:
        case order.Confirmed(order=placed):
            agreed = is_done(world.own, placed.total_minor)
            yield from () if agreed else ("G2 confirmed and half done",)
        case order.Cancelled() as cancelled:
            agreed = is_undone(world.own, cancelled)
            yield from () if agreed else ("G2 cancelled and half undone",)
        case state:
            yield f"G1 not settled: {type(state).__name__}"
    if isinstance(world.own["order"], order.Confirmed) != is_to_be_confirmed(world):
        yield f"R14 other than what was told: {type(world.own['order']).__name__}"


def is_to_be_confirmed(world: World) -> bool:
    """It follows from which events there are, in whatever order they came."""
    published = {type(event) for event in world.published}
    return published.isdisjoint(REFUSALS) or ShipmentDispatchRequested in published


def is_done(own: Mapping[str, Any], total_minor: int) -> bool:
    paid = own["payment"]
    return (
        all(type(own[step.service]).__name__ in step.confirmed for step in STEPS)
        and isinstance(own["inventory"], shelf_of(own["shipping"]))
        and isinstance(paid, payment.Captured)
        and paid.captured_minor == total_minor
    )


def shelf_of(shipment: Any) -> type[inventory.Committed | inventory.Shipped]:
    """Where the stock of a confirmed order is, once nothing is under way."""
    has_left = isinstance(shipment, shipping.Dispatched)
    return inventory.Shipped if has_left else inventory.Committed


def is_undone(own: Mapping[str, Any], cancelled: order.Cancelled) -> bool:
    paid = own["payment"]
    kept = 0
    if isinstance(paid, payment.Refunded):
        kept = paid.captured.captured_minor - paid.refunded_minor - paid.fee_minor
    return (
        all(type(own[step.service]).__name__ in step.cancelled | UNSEEN for step in STEPS)
        and kept == 0
        and (cancelled.fee_minor == 0 or cancelled.reason == "customer")
    )


def of_rows(worlds: tuple[World, ...], level: Level, points: int, stock: int) -> Iterator[str]:
    """The rows that orders share are what the orders' own states say."""
    held = {inventory.Reserved: 0, inventory.Committed: 0, inventory.Shipped: 0}
    awarded = 0
    for world in worlds:
        reservation, award = world.own["inventory"], world.own["loyalty"]
        if isinstance(reservation, HOLDING):
            held[type(reservation)] += sum(line.quantity for line in reservation.lines)
        if isinstance(award, loyalty.Awarded):
            awarded += award.points
    right = (stock - sum(held.values()), *held.values())
    levels = (level.available, level.reserved, level.committed, level.shipped)
    if levels != right or level.received != stock or min(levels) < 0:
        yield f"G6 {level}, its reservations say {right}"
    if points != awarded:
        yield f"G2 {points} points, awards say {awarded}"


def is_in_reverse_order(before: World, event: Any) -> bool:
    """A service gives back only when the ones after it in the chain hold nothing."""
    match event:
        case ShipmentCancelRequested():
            return not isinstance(before.own["loyalty"], loyalty.Awarded)
        case PaymentRefundRequested():
            return not is_live(before.own["shipping"])
        case StockReleased():
            holding = payment.Captured | payment.Capturing
            return not isinstance(before.own["payment"], holding)
        case OrderCancelled():
            return not holds_stock(before.own)
        case _:
            return True


def holds_stock(own: Mapping[str, Any]) -> bool:
    return isinstance(own["inventory"], HOLDING)


def is_live(state: Any) -> bool:
    dead = shipping.Absent | shipping.Noted | shipping.Rejected | shipping.Cancelled
    return not isinstance(state, dead)
