"""The checker is checked: it finds rules that are wrong, and orders that move alone hide nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.decision import Decision, Refusal, impossible, nothing, publish
from inventory_svc import domain as inventory
from order_svc import domain as order
from payment_svc import domain as payment
from payment_svc.messages import RefundSucceeded
from shared_events.inventory import StockReserved, StockShipped
from shared_events.loyalty import PointsAwarded
from shared_events.order import OrderCancellationRequested, OrderConfirmed, OrderPlaced
from shared_events.shipping import ShipmentDispatched, ShipmentRejected
from shipping_svc import domain as shipping
from shipping_svc.messages import Booked, HandedOver
from tests.choreography import checker, world
from tests.choreography.checker import Chances, Found, Orders, explore, explored
from tests.choreography.world import (
    SERVICES,
    TopicOf,
    WorldOutcome,
    a_world,
    alone,
    former,
    in_order,
    lane,
    routes_of,
)

EVER = datetime(2026, 1, 1, tzinfo=UTC)

Rule = Callable[[Any, Any], Decision | None]


def forgets_the_award(_state: Any, message: Any) -> Decision | None:
    return nothing("forgotten") if isinstance(message, PointsAwarded) else None


def takes_no_note_of_an_outcome(_state: Any, message: Any) -> Decision | None:
    return nothing("unheard") if isinstance(message, Booked) else None


def keeps_a_cent(state: Any, message: Any) -> Decision | None:
    if not isinstance(message, RefundSucceeded) or not isinstance(state, payment.Refunding):
        return None
    less = replace(state, refund_minor=state.refund_minor - 1)
    return payment.note_refunded(less, message)


def refunds_while_the_shipment_is_live(state: Any, message: Any) -> Decision | None:
    requested = isinstance(message, OrderCancellationRequested)
    if not requested or not isinstance(state, payment.Captured):
        return None
    undone = ShipmentRejected(order_id=message.order_id, reason=message.reason)
    return payment.refund(state, undone, "order", EVER, payment.POLICY)


def charges_at_every_delivery(_state: Any, message: Any) -> Decision | None:
    if not isinstance(message, StockReserved):
        return None
    return payment.capture(payment.INITIAL, message.order, message.order.placed_at)


def hands_over_at_every_answer(state: Any, message: Any) -> Decision | None:
    if not isinstance(message, HandedOver) or not isinstance(state, shipping.Dispatched):
        return None
    return publish(ShipmentDispatched(order_id=message.order_id))


def settles_what_is_being_cancelled(state: Any, message: Any) -> Decision | None:
    is_late = isinstance(message, PointsAwarded) and isinstance(state.order, order.Cancelling)
    return publish(OrderConfirmed(order_id=message.order_id)) if is_late else None


def sells_what_is_not_there(state: Any, message: Any) -> Decision | None:
    if not isinstance(message, OrderPlaced) or state.reservation != inventory.INITIAL:
        return None
    return publish(StockReserved(order=message.order))


def keeps_on_the_shelf_what_has_left(_state: Any, message: Any) -> Decision | None:
    return nothing("unheard") if isinstance(message, ShipmentDispatched) else None


def ships_at_every_delivery(state: Any, message: Any) -> Decision | None:
    if not isinstance(message, ShipmentDispatched):
        return None
    if not isinstance(state.reservation, inventory.Shipped):
        return None
    return publish(StockShipped(order_id=message.order_id, lines=state.reservation.lines))


def confirms_what_is_cancelled(state: Any, message: Any) -> Decision | None:
    if not isinstance(message, PointsAwarded) or not isinstance(state.order, order.Cancelled):
        return None
    return publish(OrderConfirmed(order_id=message.order_id))


def knows_no_cancellation_before_the_order(state: Any, message: Any) -> Decision | None:
    if (
        not isinstance(message, OrderCancellationRequested)
        or state.reservation != inventory.INITIAL
    ):
        return None
    return impossible("it comes after its order")


@pytest.mark.long(4)
@pytest.mark.parametrize(
    ("service", "rule", "chances", "guarantee"),
    [
        ("order", forgets_the_award, ((),), "G1 not settled: Pending"),
        ("shipping", takes_no_note_of_an_outcome, ((),), "G1 forgotten: shipping Booking"),
        ("payment", keeps_a_cent, (("cancel",),), "G2 cancelled and half undone"),
        ("payment", refunds_while_the_shipment_is_live, (("cancel",),), "G3 too early: Payment"),
        ("payment", charges_at_every_delivery, (("repeat",),), "G4 twice: PaymentCaptureRequested"),
        ("payment", charges_at_every_delivery, (("repeat",),), "G4 asked for anew: Capture"),
        ("shipping", hands_over_at_every_answer, (("crash",),), "G4 twice: ShipmentDispatched"),
        ("inventory", sells_what_is_not_there, ((), ()), "G6 Level(available=-2"),
        ("inventory", keeps_on_the_shelf_what_has_left, (("dispatch",),), "G2 confirmed and half"),
        ("inventory", ships_at_every_delivery, (("dispatch", "repeat"),), "G4 twice: StockShipped"),
        ("order", settles_what_is_being_cancelled, (("cancel",),), "R14 other than what was told"),
        ("order", confirms_what_is_cancelled, (("cancel",),), "I8 order left Cancelled"),
    ],
)
def test_a_wrong_rule_is_found(
    service: str,
    rule: Rule,
    chances: tuple[Chances, ...],
    guarantee: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not any(what.startswith(guarantee) for what in found(chances))
    break_rule(service, rule, monkeypatch)
    assert any(what.startswith(guarantee) for what in found(chances))


def break_rule(service: str, rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    right = SERVICES[service]

    def wrong(state: Any, message: Any, at: datetime) -> Decision | Refusal:
        return rule(state, message) or right.decide(state, message, at)

    monkeypatch.setattr(world, "SERVICES", {**SERVICES, service: replace(right, decide=wrong)})


def found(chances: tuple[Chances, ...], topic_of: TopicOf = alone) -> set[str]:
    return explored(a_world(stock=2, topic_of=topic_of), chances, "success", 2).broken


@pytest.mark.long(2)
def test_a_rule_that_needs_the_order_of_one_topic_is_found_where_there_are_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    break_rule("inventory", knows_no_cancellation_before_the_order, monkeypatch)
    parked = "G1 parked: it comes after its order"
    assert parked not in found((("cancel",),), former)
    assert parked in found((("cancel",),), lane)
    assert parked in found((("cancel",),), alone)


def test_lanes_are_the_topics_to_which_the_services_subscribe() -> None:
    routes = list(in_order(routes_of(lane)))
    assert routes == [
        (s.name, t) for s in SERVICES.values() for t in s.topics if t not in s.projections
    ]


@pytest.mark.long(2)
@pytest.mark.parametrize("outcome", ["success", "decline", "carrier refuses"])
def test_nothing_happens_in_any_layout_that_does_not_with_each_event_in_its_own_topic(
    outcome: WorldOutcome,
) -> None:
    """So what is explored covers topics of before, lanes, and systems that move between them."""
    before, now, each = (histories(topic_of, outcome) for topic_of in (former, lane, alone))
    assert before < now == each


def histories(topic_of: TopicOf, outcome: WorldOutcome) -> set[Any]:
    """What the services have published, what each has read, and what is owed, at every moment."""
    orders = Orders(outcome, Found())
    chances = ("cancel", "dispatch", "deadline")
    explore(orders, a_world(topic_of=topic_of), (chances,), 10)
    return {
        (*known.logs.values(), *known.inbox.values(), known.effects, known.timers, known.is_late)
        for known, _ in orders.met
    }


@pytest.mark.long(2)
@pytest.mark.parametrize("stock", [2, 4])
def test_orders_that_move_alone_hide_no_end_and_no_situation(
    stock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, chances = a_world(stock=stock), ((), ())
    reduced = explored(start, chances, "success", stock)
    monkeypatch.setattr(checker, "movers", lambda _orders, numbers, _rows: range(len(numbers)))
    complete = explored(start, chances, "success", stock)
    assert (reduced.ends, reduced.situations) == (complete.ends, complete.situations)
    assert reduced.states < complete.states / 3
