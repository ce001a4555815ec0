"""What the operator's chain says is what the five services declare."""

from typing import Any, Final, get_args

import pytest

import inventory_svc.service
import loyalty_svc.service
import order_svc.service
import payment_svc.service
import shipping_svc.service
from chassis.service import Service
from inventory_svc.domain import Reservation
from loyalty_svc.domain import Award
from order_svc.domain import OrderState
from payment_svc.domain import State as PaymentState
from saga_cli.ops.chain import AGAIN, HOPS, SETTLED, WORK, Hop
from shared_events.catalog import BY_TYPE
from shipping_svc.domain import State as ShippingState

DECLARED: Final[dict[str, tuple[Service, Any]]] = {
    "order": (order_svc.service.SERVICE, OrderState),
    "inventory": (inventory_svc.service.SERVICE, Reservation),
    "payment": (payment_svc.service.SERVICE, PaymentState),
    "shipping": (shipping_svc.service.SERVICE, ShippingState),
    "loyalty": (loyalty_svc.service.SERVICE, Award),
}


@pytest.mark.parametrize("hop", [*HOPS, AGAIN], ids=lambda hop: f"{hop.event} to {hop.to}")
def test_an_event_of_the_chain_goes_from_its_publisher_to_a_reader(hop: Hop) -> None:
    event = BY_TYPE[hop.event].event
    assert event in DECLARED[hop.by][0].publishes
    assert event in DECLARED[hop.to][0].consumes


@pytest.mark.parametrize("service", DECLARED)
def test_the_chain_has_a_place_for_each_state_and_each_effect(service: str) -> None:
    declared, states = DECLARED[service]
    placed = {"Absent"} | {name for hop in HOPS if hop.by == service for name in hop.sent}
    placed |= {name for hop in HOPS if hop.to == service for name in hop.unheard}
    placed |= {state for (name, state) in WORK if name == service}
    placed |= SETTLED if service == "order" else set()
    placed |= {"Shipped"} if service == "inventory" else set()  # the end: nobody waits for it
    assert {state.__name__ for state in get_args(states)} <= placed
    effects = {kind for (name, _), kind in WORK.items() if name == service}
    assert {kind.__name__ for kind in declared.effects} <= effects
