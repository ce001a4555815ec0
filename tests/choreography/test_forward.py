"""The way forward: every step in turn, and the order is confirmed."""

import pytest

from shared_events.order import OrderConfirmed
from shared_events.shipping import ShipmentDispatched
from tests.choreography.world import DISPATCH_NOW, World, a_world


def result(world: World) -> list[str]:
    return [type(event).__name__ for event in world.published]


def test_the_steps_follow_each_other_and_the_order_is_confirmed_last() -> None:
    world = a_world().settled()
    assert result(world) == [
        "OrderPlaced",
        "StockReserved",
        "PaymentCaptureRequested",
        "PaymentCaptured",
        "ShipmentBookingRequested",
        "ShipmentCreated",
        "PointsAwarded",
        "OrderConfirmed",
        "StockCommitted",
        "ShipmentApproved",
    ]
    assert world.topic("order.outcome") == (OrderConfirmed(order_id="o-1"),)


@pytest.mark.parametrize("by", ["an operator", "its timer"])
def test_a_confirmed_order_is_dispatched(by: str) -> None:
    confirmed = a_world().settled()
    (timer,) = confirmed.due()
    world = confirmed.after(DISPATCH_NOW if by == "an operator" else timer).settled()
    assert world.due() == ()
    assert world.topic("shipping.outcome")[-1] == ShipmentDispatched(order_id="o-1")


@pytest.mark.parametrize("stock", [2, 3])
def test_the_last_pieces_are_sold(stock: int) -> None:
    level = a_world(stock=stock).settled().shared["inventory"]["CUP"]
    assert (level.available, level.reserved, level.committed) == (stock - 2, 0, 2)


def test_every_forward_fact_carries_the_order_untouched() -> None:
    world = a_world().settled()
    orders = [event.order for event in world.published if hasattr(event, "order")]
    assert orders == [world.own["order"].order] * 6
