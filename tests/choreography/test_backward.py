"""The way back: whoever says no, all that was done before is undone, the last step first."""

from typing import Any

from shared_events.inventory import StockRejected
from shared_events.order import OrderCancelled
from shared_events.payment import PaymentDeclined
from tests.choreography.world import World, a_world
from tests.domain.builders import (
    declined,
    order_cancelled,
    points_rejected,
    refund_requested,
    refunded,
    released,
    shipment_cancel_requested,
    shipment_cancelled,
    shipment_rejected,
    stock_rejected,
)

REFUSALS = (StockRejected, PaymentDeclined, type(shipment_rejected()), type(points_rejected()))


def way_back(world: World) -> tuple[Any, ...]:
    """Everything from the first refusal on."""
    kinds = [isinstance(event, REFUSALS) for event in world.published]
    return world.published[kinds.index(True) :]


def test_out_of_stock() -> None:
    assert way_back(a_world(stock=1).settled()) == (
        stock_rejected(),
        OrderCancelled(order_id="o-1", reason="out_of_stock", refused_by="inventory"),
    )


def test_a_declined_card() -> None:
    assert way_back(a_world().settled("decline")) == (
        declined(),
        released("card_declined", "payment", refunded=0),
        order_cancelled("card_declined", "payment", refunded=0),
    )


def test_an_undeliverable_country() -> None:
    refusal = ("undeliverable_country", "shipping")
    assert way_back(a_world(country="AQ").settled()) == (
        shipment_rejected(),
        refund_requested(*refusal),
        refunded(*refusal),
        released(*refusal),
        order_cancelled(*refusal),
    )


def test_a_carrier_that_refuses() -> None:
    refusal = ("carrier_refused", "shipping")
    assert way_back(a_world().settled("carrier refuses")) == (
        shipment_rejected("carrier_refused"),
        refund_requested(*refusal),
        refunded(*refusal),
        released(*refusal),
        order_cancelled(*refusal),
    )


def test_a_suspended_customer() -> None:
    refusal = ("customer_suspended", "loyalty")
    assert way_back(a_world(suspended=True).settled()) == (
        points_rejected(),
        shipment_cancel_requested(*refusal),
        shipment_cancelled(*refusal),
        refund_requested(*refusal),
        refunded(*refusal),
        released(*refusal),
        order_cancelled(*refusal),
    )


def test_the_customer_reads_the_first_refusals_reason_on_the_order() -> None:
    order = a_world(suspended=True).settled().own["order"]
    assert (order.reason, order.refused_by) == ("customer_suspended", "loyalty")
