"""Every interleaving of one order: deliveries, repeats, answers of the two providers, and at any
instant a cancel, a dispatch, the deadline, and each timer, however early it is due."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import pytest

from inventory_svc import domain as inventory
from inventory_svc.domain import Level
from loyalty_svc import domain as loyalty
from loyalty_svc.domain import Customer
from order_svc import domain as order
from payment_svc import domain as payment
from payment_svc.messages import Refund
from shared_events.decision import Decision
from shared_events.inventory import StockReleased
from shared_events.order import OrderCancelled
from shared_events.payment import PaymentCaptured, PaymentRefunded, PaymentRefundRequested
from shared_events.shipping import ShipmentCancelRequested, ShipmentCreated
from shipping_svc import domain as shipping
from tests.choreography.world import (
    CANCEL_NOW,
    DISPATCH_NOW,
    Finish,
    Move,
    Outcome,
    TimePasses,
    World,
    a_world,
)


@dataclass(frozen=True, slots=True)
class Case:
    start: Callable[[], World]
    outcome: Outcome = "success"
    stock: int = 10
    ends: frozenset[str] = frozenset({"Cancelled"})


CASES: Final = {
    "all ok": Case(a_world, ends=frozenset({"Confirmed", "Cancelled"})),
    "declined": Case(a_world, "decline"),
    "carrier refuses": Case(a_world, "carrier refuses"),
    "undeliverable": Case(lambda: a_world(country="AQ")),
    "suspended": Case(lambda: a_world(suspended=True)),
    "out of stock": Case(lambda: a_world(stock=1), stock=1),
}
EVERY_CASE: Final = pytest.mark.parametrize("name", CASES)


@dataclass(slots=True)
class Exploration:
    worlds: list[World] = field(default_factory=list)
    terminal: list[World] = field(default_factory=list)
    steps: list[tuple[World, World]] = field(default_factory=list)


def moves_of(world: World, outcome: Outcome) -> Iterator[Move]:
    for move in world.moves():
        yield Finish(move.service, outcome) if isinstance(move, Finish) else move
        if isinstance(move, Finish) and is_first_refund(world, move.service):
            yield Finish(move.service, "bank declines")
    yield from world.due()
    if not world.is_late:
        yield TimePasses()
    yield CANCEL_NOW
    yield DISPATCH_NOW


def is_first_refund(world: World, service: str) -> bool:
    owed = next(effect for name, effect in world.effects if name == service)
    return isinstance(owed, Refund) and owed.attempt == 1


@cache
def explored(name: str) -> Exploration:
    case, found = CASES[name], Exploration()
    first = case.start()
    seen, waiting = {first.key()}, deque([first])
    while waiting:
        world = waiting.popleft()
        found.worlds.append(world)
        if not world.moves():
            found.terminal.append(world)
        for move in moves_of(world, case.outcome):
            following = world.after(move)
            found.steps.append((world, following))
            if (key := following.key()) not in seen:
                seen.add(key)
                waiting.append(following)
    return found


def told(world: World) -> list[str]:
    return [type(event).__name__ for event in world.published]


def is_undone(world: World, stock: int) -> bool:
    return (
        world.shared["inventory"]["CUP"] == Level(available=stock, receipts=1)
        and not isinstance(world.own["payment"], payment.Capturing | payment.Refunding)
        and money_kept(world) == 0
        and not is_live(world.own["shipping"])
        and points_of(world) == 0
    )


def is_done(world: World, stock: int) -> bool:
    return (
        world.shared["inventory"]["CUP"] == Level(available=stock - 2, committed=2, receipts=1)
        and money_kept(world) == 3000
        and count(world, PaymentCaptured) == 1
        and isinstance(
            world.own["shipping"], shipping.Approved | shipping.Dispatching | shipping.Dispatched
        )
        and count(world, ShipmentCreated) == 1
        and points_of(world) == 30
    )


def count(world: World, kind: type[Any]) -> int:
    return sum(isinstance(event, kind) for event in world.published)


def money_kept(world: World) -> int:
    """Without the fees, which the policy allows."""
    captured = (e.captured_minor for e in world.published if isinstance(e, PaymentCaptured))
    refunded = (
        e.refunded_minor + e.fee_minor for e in world.published if isinstance(e, PaymentRefunded)
    )
    return sum(captured) - sum(refunded)


def points_of(world: World) -> int:
    customer: Customer = world.shared["loyalty"].get("c-1", Customer())
    return customer.points


def is_live(state: Any) -> bool:
    dead = shipping.Absent | shipping.Noted | shipping.Rejected | shipping.Cancelled
    return not isinstance(state, dead)


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
            held = inventory.Reserved | inventory.Committed
            return not isinstance(before.own["inventory"], held)
        case _:
            return True


@EVERY_CASE
def test_every_way_ends_with_the_order_settled_and_the_services_agreed(name: str) -> None:
    case, found = CASES[name], explored(name)
    ends = set()
    for world in found.terminal:
        state = world.own["order"]
        ends.add(type(state).__name__)
        agreed = is_done if isinstance(state, order.Confirmed) else is_undone
        assert agreed(world, case.stock), told(world)
        if isinstance(state, order.Cancelled) and state.fee_minor:
            assert state.reason == "customer", told(world)
    print(
        f"{name}: {len(found.worlds)} states, {len(found.steps)} steps, {len(found.terminal)} ends"
    )
    assert ends == case.ends


@EVERY_CASE
def test_no_service_gives_back_before_the_ones_after_it(name: str) -> None:
    for before, after in explored(name).steps:
        for event in after.published[len(before.published) :]:
            assert is_in_reverse_order(before, event), told(after)


@EVERY_CASE
def test_no_delivery_is_ever_impossible(name: str) -> None:
    parked = {
        (after.answer.impossible, tuple(told(before)))
        for before, after in explored(name).steps
        if isinstance(after.answer, Decision) and after.answer.impossible
    }
    assert parked == set()


@EVERY_CASE
def test_a_record_delivered_again_at_any_instant_changes_nothing(name: str) -> None:
    for world in explored(name).worlds:
        for service, event in world.delivered_before():
            assert world.received(service, event) is world


@EVERY_CASE
def test_even_without_the_inbox_a_repeat_publishes_nothing(name: str) -> None:
    for world in explored(name).worlds:
        for service, event in world.delivered_before():
            again = world.decide(service, event)
            assert isinstance(again, Decision)
            assert (again.events, again.effects) == ((), ()), (event, told(world))
