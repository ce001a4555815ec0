"""A customer cancels: before, during and after every step."""

from collections.abc import Iterator
from typing import Any

import pytest

from chassis.decision import Refusal, RefusalKind
from order_svc.domain import Cancelled, Confirmed
from shared_events.order import OrderCancellationRefused, OrderConfirmed
from tests.choreography.world import (
    CANCEL_NOW,
    DISPATCH_NOW,
    Command,
    World,
    a_world,
)
from tests.domain.builders import (
    awarded,
    cancellation_requested,
    deducted,
    order_cancelled,
    refund_requested,
    refunded,
    released,
    shipment_cancel_requested,
    shipment_cancellation_refused,
    shipment_cancelled,
)


def instants() -> Iterator[World]:
    """Every moment of the way forward."""
    world = a_world()
    yield world
    while moves := world.moves():
        world = world.after(moves[0])
        yield world


def since(before: World, after: World) -> tuple[Any, ...]:
    return after.published[len(before.published) :]


@pytest.mark.parametrize("moment", range(len(list(instants()))))
def test_a_deadline_that_passes_before_the_order_is_settled_cancels_it_at_our_cost(
    moment: int,
) -> None:
    world = list(instants())[moment]
    timer = next((fire for fire in world.due() if fire.service == "order"), None)
    if timer is None:
        assert isinstance(world.own["order"], Confirmed)
        return
    order = world.after(timer).settled().own["order"]
    assert isinstance(order, Cancelled)
    assert (order.reason, order.fee_minor) == ("deadline_exceeded", 0)


@pytest.mark.parametrize("moment", range(len(list(instants()))))
def test_a_cancellation_at_any_moment_before_dispatch_cancels_the_order(moment: int) -> None:
    world = list(instants())[moment].after(CANCEL_NOW).settled()
    assert isinstance(world.own["order"], Cancelled)
    level = world.shared["inventory"]["CUP"]
    assert (level.available, level.reserved, level.committed) == (10, 0, 0)


def test_a_cancelled_confirmed_order_is_undone_step_by_step_backwards() -> None:
    confirmed = a_world().settled()
    assert since(confirmed, confirmed.after(CANCEL_NOW).settled()) == (
        cancellation_requested(),
        deducted(),
        shipment_cancel_requested(fee=150),
        shipment_cancelled(fee=150),
        refund_requested(fee=150),
        refunded(fee=150),
        released(refunded=2783, fee=217),
        order_cancelled(refunded=2783, fee=217),
    )


def test_a_cancellation_that_overtakes_the_order_stops_it_at_the_first_who_noted_it() -> None:
    world = a_world().after(CANCEL_NOW).settled()
    assert not any(isinstance(event, OrderConfirmed) for event in world.published)
    assert world.shared["loyalty"] == {}


def test_a_cancellation_after_dispatch_is_refused_and_the_points_are_given_again() -> None:
    left = a_world().settled().after(DISPATCH_NOW).settled()
    world = left.after(CANCEL_NOW).settled()
    assert since(left, world) == (
        cancellation_requested(),
        deducted(),
        shipment_cancellation_refused(),
        awarded(attempt=2),
        OrderCancellationRefused(order_id="o-1", reason="dispatched"),
    )
    order = left.own["order"].order
    assert world.own["order"] == Confirmed(order=order, cancellation_refused="dispatched")


@pytest.mark.parametrize(
    ("world", "command", "code", "kind"),
    [
        (World(), CANCEL_NOW, "unknown_order", "not_found"),
        (a_world().after(CANCEL_NOW), CANCEL_NOW, "already_cancelling", "conflict"),
        (a_world().after(CANCEL_NOW).settled(), CANCEL_NOW, "already_cancelled", "conflict"),
        (a_world(), DISPATCH_NOW, "unknown_shipment", "not_found"),
        (a_world().settled().after(CANCEL_NOW).settled(), DISPATCH_NOW, "cancelled", "conflict"),
        (
            a_world().settled().after(DISPATCH_NOW).after(CANCEL_NOW).settled(),
            CANCEL_NOW,
            "cancellation_refused",
            "conflict",
        ),
    ],
)
def test_a_command_that_comes_too_late_or_too_early_is_refused(
    world: World, command: Command, code: str, kind: RefusalKind
) -> None:
    after = world.after(command)
    assert isinstance(after.answer, Refusal)
    assert (after.answer.code, after.answer.kind) == (code, kind)
    assert after.answer.detail
    assert after.published == world.published
