"""A customer cancels, on real servers: before, at any moment on the way, after, and too late."""

import asyncio
import random
import time
from typing import Any

import httpx
import pytest

from saga_cli.demo import a_checkout
from saga_cli.stack.services import Services
from tests.support.problems import problem_of
from tests.support.shop import ANSWERS_TO_CANCEL, answered, checkout, place_all, settled
from tests.support.waiting import until

pytestmark = [pytest.mark.long(200), pytest.mark.many_orders]

RETRY_S = 20


def cancel(stack: Services, order_id: str, **headers: str) -> httpx.Response:
    return httpx.post(f"{stack.url('order')}/orders/{order_id}/cancel", headers=headers)


def settled_order(stack: Services, order_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        order: dict[str, Any] = httpx.get(f"{stack.url('order')}/orders/{order_id}").json()
        return order if order["state"] in {"CONFIRMED", "CANCELLED"} else None

    found: dict[str, Any] = until(look, RETRY_S, "a settled order")
    return found


def dispatch(stack: Services, order_id: str) -> None:
    """The order service says CONFIRMED a moment before shipping has heard of it."""
    url = f"{stack.url('shipping')}/shipments/{order_id}/dispatch"

    def is_dispatched() -> bool:
        answer = httpx.post(url)
        assert answer.status_code == 200 or answer.json()["code"] == "not_confirmed", answer.text
        return answer.status_code == 200

    until(is_dispatched, RETRY_S, "a confirmed shipment")


def test_an_order_cancelled_at_once_is_undone_and_costs_nothing(stack: Services) -> None:
    answer = checkout(stack, wait_s=0)
    order_id = answer.json()["order_id"]
    assert cancel(stack, order_id).status_code == 202
    order = settled_order(stack, order_id)
    assert (order["state"], order["reason"]) == ("CANCELLED", "customer")
    assert settled(stack, [order_id]).violations == []


def test_a_confirmed_order_is_cancelled_at_the_price_of_restocking_and_the_providers_fee(
    stack: Services,
) -> None:
    confirmed = checkout(stack).json()
    order_id = confirmed["order_id"]
    shipments = f"{stack.url('shipping')}/shipments/{order_id}"
    until(lambda: httpx.get(shipments).json()["state"] == "APPROVED", RETRY_S, "a shipment")
    assert cancel(stack, order_id).status_code == 202
    order = settled_order(stack, order_id)
    total = order["total_minor"]
    restocking, provider = total * 500 // 10_000, 25 + (total * 140 + 5_000) // 10_000
    assert (order["state"], order["reason"]) == ("CANCELLED", "customer")
    assert order["fee_minor"] == restocking + provider
    assert order["refunded_minor"] == total - restocking - provider
    assert settled(stack, [order_id]).violations == []


def test_a_dispatched_order_stays_confirmed_and_a_second_wish_is_answered_with_the_reason(
    stack: Services,
) -> None:
    order_id = checkout(stack, customer_id="late").json()["order_id"]
    dispatch(stack, order_id)
    url = f"{stack.url('loyalty')}/customers/late/points"

    def points() -> int:
        return int(httpx.get(url).json()["points"])

    until(lambda: points() > 0, RETRY_S, "the order's points")
    before = points()
    assert cancel(stack, order_id).status_code == 202
    order = settled_order(stack, order_id)
    assert order["state"] == "CONFIRMED"
    published = [entry["said"] for entry in order["timeline"]]
    assert published[-1] == "order.cancellation_refused.v1"
    assert points() == before
    again = cancel(stack, order_id)
    assert (again.status_code, again.json()["code"]) == (409, "cancellation_refused")
    assert "dispatched" in again.json()["detail"]
    assert settled(stack, [order_id]).violations == []


def test_a_wish_that_can_not_be_met_is_a_problem_with_a_reason(stack: Services) -> None:
    unknown = cancel(stack, "019c0000-0000-7000-8000-000000000000")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_order")
    order_id = checkout(stack, payment_token="tok_declined").json()["order_id"]
    done = cancel(stack, order_id)
    assert (done.status_code, done.json()["code"]) == (409, "already_cancelled")


def test_the_same_wish_with_the_same_key_has_the_same_answer(stack: Services) -> None:
    order_id = checkout(stack, wait_s=0).json()["order_id"]
    key = f"cancel-{order_id}"
    first = cancel(stack, order_id, **{"Idempotency-Key": key})
    again = cancel(stack, order_id, **{"Idempotency-Key": key})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert settled(stack, [order_id]).violations == []


def test_dispatched_stock_leaves_the_shelf_and_a_count_counts_the_rest(stack: Services) -> None:
    order, inventory = stack.url("order"), stack.url("inventory")
    httpx.put(f"{order}/catalogue/BOWL", json={"name": "Bowl", "price_minor": 900})
    stock = f"{inventory}/stock/BOWL"
    httpx.put(stock, json={"on_hand": 10}).raise_for_status()
    body = a_checkout(lines=[{"sku": "BOWL", "quantity": 7}])
    order_id = httpx.post(f"{order}/checkout", json=body).json()["order_id"]
    assert settled_order(stack, order_id)["state"] == "CONFIRMED"
    dispatch(stack, order_id)
    until(lambda: httpx.get(stock).json()["shipped"] == 7)
    level = httpx.put(stock, json={"on_hand": 3})
    assert (level.status_code, level.json()["available"]) == (200, 3)
    level = httpx.put(stock, json={"on_hand": 100})
    assert (level.json()["available"], level.json()["on_hand"]) == (100, 100)
    broken = {"quantity": 4, "reason": "damaged"}
    assert httpx.post(f"{stock}/write-offs", json=broken).json()["available"] == 96
    more = httpx.post(f"{stock}/write-offs", json=broken | {"quantity": 97})
    assert problem_of(more) == (409, "stock_in_use")
    text = httpx.post(f"{stock}/write-offs", json=broken | {"reason": "Ada B"})
    assert problem_of(text) == (422, "invalid_request")
    back = httpx.post(f"{stock}/returns", json={"quantity": 2})
    assert (back.status_code, back.json()["available"], back.json()["shipped"]) == (201, 98, 5)
    assert httpx.post(f"{stock}/returns", json={"quantity": 6}).json()["code"] == "not_shipped"
    assert settled(stack, [order_id]).violations == []


POSSIBLE = ANSWERS_TO_CANCEL | {
    (200, ""),
    (404, "unknown_shipment"),
    (409, "not_confirmed"),
    (409, "cancelled"),
}
"""To a cancellation or a dispatch at any moment."""


def test_two_hundred_orders_cancelled_at_any_moment_all_settle(stack: Services) -> None:
    """Two instances of each service; half of the orders are dispatched at any moment as well."""
    dice = random.Random(20260101)  # noqa: S311 - the same moments in every run

    async def one(client: httpx.AsyncClient, number: int) -> str:
        body = a_checkout(customer_id=f"c-{number % 7}")
        url = f"{stack.url('order')}/checkout"
        placed = await answered(client, url, {(201, "")}, body)
        order_id: str = placed.json()["order_id"]
        moments = [(dice.uniform(0, 0.6), f"{stack.url('order')}/orders/{order_id}/cancel")]
        if number % 2:
            url = f"{stack.url('shipping')}/shipments/{order_id}/dispatch"
            moments.append((dice.uniform(0.1, 0.6), url))
        started = time.monotonic()
        for moment, url in sorted(moments):
            await asyncio.sleep(max(0.0, started + moment - time.monotonic()))
            await answered(client, url, POSSIBLE)
        return order_id

    async def all_() -> list[str]:
        async with httpx.AsyncClient(timeout=30) as client:
            return await asyncio.gather(*(one(client, n) for n in range(200)))

    acknowledged = asyncio.run(all_())
    report = settled(stack, acknowledged)
    assert report.violations == []
    states = [settled_order(stack, order_id)["state"] for order_id in acknowledged]
    print({state: states.count(state) for state in set(states)})
    assert "CANCELLED" in states


def test_the_last_fifty_pieces_are_sold_to_fifty_of_five_hundred_at_once(stack: Services) -> None:
    """Over HTTP, two inventory instances; each order also takes a piece of a common product."""
    order, inventory = stack.url("order"), stack.url("inventory")
    price = {"name": "Hot", "price_minor": 1000}
    httpx.put(f"{order}/catalogue/HOT", json=price).raise_for_status()
    httpx.put(f"{inventory}/stock/HOT", json={"on_hand": 50}).raise_for_status()
    lines = [{"sku": "HOT", "quantity": 1}, {"sku": "RETRO-CLOCK", "quantity": 1}]

    bodies = [a_checkout(lines=lines[:: (-1) ** n], customer_id=f"h-{n % 11}") for n in range(500)]
    urls = [instance.url for instance in stack.of("order")]
    acknowledged = asyncio.run(place_all(urls, bodies, at_once=100))
    assert settled(stack, acknowledged).violations == []
    outcomes = [settled_order(stack, order_id) for order_id in acknowledged]
    assert sum(o["state"] == "CONFIRMED" for o in outcomes) == 50
    assert {o["reason"] for o in outcomes if o["state"] == "CANCELLED"} == {"out_of_stock"}
    level = httpx.get(f"{inventory}/stock/HOT").json()
    assert (level["available"], level["reserved"], level["committed"]) == (0, 0, 50)
