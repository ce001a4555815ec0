"""Timers and a moody carrier, on real servers: orders wait, are given up, and settle."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from saga_cli.demo import a_checkout
from saga_cli.stack.services import Services
from tests.support.servers import private_stack, start_each
from tests.support.shop import checkout, place_many, settled
from tests.support.waiting import until

CALM: dict[str, Any] = {}


class CarrierSystem:
    """A system whose carrier's mood the test sets."""

    def __init__(self, services: Services, script: Path) -> None:
        self.services, self.script = services, script

    @property
    def shipping(self) -> dict[str, str]:
        return {
            "SHIPPING_CARRIER_SCRIPT": str(self.script),
            "SHIPPING_PROVIDER_TIMEOUT_S": "2",
        }

    def behaviour(self, **behaviour: Any) -> None:
        scratch = self.script.with_suffix(".new")
        scratch.write_text(json.dumps(behaviour))
        scratch.replace(self.script)

    def order(self, order_id: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.services.url('order')}/orders/{order_id}").json()
        return found

    def shipment(self, order_id: str) -> dict[str, Any]:
        url = f"{self.services.url('shipping')}/shipments/{order_id}"
        found: dict[str, Any] = httpx.get(url).json()
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CarrierSystem]:
    with private_stack() as (services, _):
        shop = CarrierSystem(services, tmp_path_factory.mktemp("carrier") / "mood.json")
        start_each(services, variables=shop.shipping)
        yield shop


@pytest.fixture(autouse=True)
def calm(shop: CarrierSystem) -> None:
    shop.behaviour()


def test_an_order_that_is_not_settled_by_its_deadline_is_given_up_and_costs_nothing(
    shop: CarrierSystem,
) -> None:
    """Payment is away: the deadline's timer asks for the cancellation, its return answers it."""
    (payment,) = shop.services.of("payment")
    payment.process.stop()
    impatient = shop.services.start("order", {"ORDER_PATIENCE_S": "4"})
    shop.services.await_ready([impatient])
    order_id = httpx.post(f"{impatient.url}/checkout", json=a_checkout()).json()["order_id"]
    assert impatient.process.stop() == 0
    until(lambda: shop.order(order_id)["state"] == "CANCELLING", 30)
    payment.process.start()
    shop.services.await_ready([payment])
    order = until(lambda: (o := shop.order(order_id))["state"] == "CANCELLED" and o, 30)
    assert (order["reason"], order["fee_minor"]) == ("deadline_exceeded", 0)
    result = [entry["said"] for entry in order["timeline"]]
    assert result == ["order.placed.v1", "order.cancellation_requested.v1", "order.cancelled.v1"]
    assert settled(shop.services, [order_id]).violations == []


def test_a_carrier_that_refuses_undoes_the_order(shop: CarrierSystem) -> None:
    shop.behaviour(refused_postal_codes=["99999"])
    order = checkout(shop.services, postal_code="99999").json()
    assert (order["state"], order["reason"]) == ("CANCELLED", "carrier_refused")
    assert (order["refunded_minor"], order["fee_minor"]) == (order["total_minor"], 0)
    assert settled(shop.services, [order["order_id"]]).violations == []


def test_orders_wait_for_a_carrier_that_is_away_and_settle_when_it_is_back(
    shop: CarrierSystem,
) -> None:
    shop.behaviour(outage=True)
    url = shop.services.url("order")
    acknowledged = asyncio.run(place_many([url], 20))
    metrics = f"{shop.services.url('shipping')}/metrics"
    opened = 'saga_circuit_state{provider="carrier",service="shipping"} 2.0'
    until(lambda: opened in httpx.get(metrics).text, 30)
    shop.behaviour(latency_ms=20)
    assert settled(shop.services, acknowledged).violations == []
    until(lambda: opened.replace("2.0", "0.0") in httpx.get(metrics).text, 30)


@pytest.mark.parametrize("place", ["leased:3", "called:3"])
def test_a_kill_in_the_middle_of_a_call_books_once(shop: CarrierSystem, place: str) -> None:
    """Answers are lost as well; the same key is asked again, and every order settles."""
    shop.behaviour(lost_answers=0.3)
    (shipping,) = [i for i in shop.services.of("shipping") if i.process.is_alive()]
    shipping.process.stop()
    fragile = shop.services.start("shipping", {**shop.shipping, "CHASSIS_CRASH_AT": place})
    shop.services.await_ready([fragile])
    acknowledged = asyncio.run(place_many([shop.services.url("order")], 30))
    until(lambda: not fragile.process.is_alive(), 30)
    assert fragile.process.exit_code() == -9
    shipping.process.start()
    shop.services.await_ready([shipping])
    assert settled(shop.services, acknowledged).violations == []


def test_a_confirmed_order_leaves_by_its_timer_and_the_carrier_has_it(shop: CarrierSystem) -> None:
    (shipping,) = [i for i in shop.services.of("shipping") if i.process.is_alive()]
    shipping.process.stop()
    hasty = shop.services.start("shipping", {**shop.shipping, "SHIPPING_DISPATCH_AFTER_S": "0.5"})
    shop.services.await_ready([hasty])
    order = checkout(shop.services).json()
    assert order["state"] == "CONFIRMED"
    until(lambda: shop.shipment(order["order_id"])["state"] == "DISPATCHED", 30)
    cancel = f"{shop.services.url('order')}/orders/{order['order_id']}/cancel"
    assert httpx.post(cancel).status_code == 202
    until(lambda: shop.order(order["order_id"])["state"] == "CONFIRMED", 30)
    again = httpx.post(cancel)
    assert (again.status_code, again.json()["code"]) == (409, "cancellation_refused")
    assert settled(shop.services, [order["order_id"]]).violations == []
