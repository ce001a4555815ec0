"""The main job over HTTP, on real servers, with two instances of each service."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from guarantees.services import BY_NAME
from saga_cli.demo import SCENES, Scene, a_checkout
from saga_cli.stack.services import Services
from tests.support.problems import outcome_of, problem_of
from tests.support.shop import checkout, place_many, settled
from tests.support.waiting import until

pytestmark = pytest.mark.many_orders

LINE = {"sku": "RETRO-CLOCK", "quantity": 1}


@pytest.mark.parametrize("scene", SCENES[:5], ids=lambda scene: scene.title)
def test_an_order_ends_as_it_must_with_the_reason_on_it(stack: Services, scene: Scene) -> None:
    answer = checkout(stack, **scene.changes)
    assert answer.status_code == 201, answer.text
    order = answer.json()
    assert (order["state"], order["reason"]) == (scene.state, scene.reason)
    report = settled(stack, [order["order_id"]])
    assert report.violations == []


def test_the_order_tells_its_timeline(stack: Services) -> None:
    order_id = checkout(stack).json()["order_id"]
    order = httpx.get(f"{stack.url('order')}/orders/{order_id}").json()
    assert order["state"] == "CONFIRMED"
    result = [(entry["heard"], entry["said"]) for entry in order["timeline"]]
    assert result == [
        ("PlaceOrder", "order.placed.v1"),
        ("points.awarded.v1", "order.confirmed.v1"),
    ]


def test_the_total_is_the_catalogues_prices(stack: Services) -> None:
    lines = [{"sku": "RETRO-CLOCK", "quantity": 3}, {"sku": "BLUE-VASE", "quantity": 2}]
    order = checkout(stack, lines=lines).json()
    assert order["total_minor"] == 3 * 4_999 + 2 * 2_450


def test_a_repeated_request_has_one_order_and_says_so(stack: Services) -> None:
    headers = {"Idempotency-Key": f"same-{time.monotonic_ns()}"}
    first = checkout(stack, headers=headers)
    again = checkout(stack, headers=headers)
    assert first.json() == again.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_key_with_another_body_is_refused(stack: Services) -> None:
    headers = {"Idempotency-Key": f"other-{time.monotonic_ns()}"}
    assert checkout(stack, headers=headers).status_code == 201
    other = checkout(stack, headers=headers, country="FR")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_one_key_sent_many_times_at_once_makes_one_order(stack: Services) -> None:
    headers = {"Idempotency-Key": f"burst-{time.monotonic_ns()}"}
    urls = [instance.url for instance in stack.of("order")]

    async def burst() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=30) as client:
            calls = [
                client.post(f"{urls[n % 2]}/checkout", json=a_checkout(), headers=headers)
                for n in range(20)
            ]
            return await asyncio.gather(*calls)

    answers = asyncio.run(burst())
    assert {outcome_of(each) for each in answers} <= {(201, ""), (409, "in_flight")}
    assert len({a.json()["order_id"] for a in answers if a.status_code == 201}) == 1


def _newest(stack: Services) -> list[str]:
    """Ids of the newest orders; their states may still be on the move."""
    page = httpx.get(f"{stack.url('order')}/orders?limit=3").json()
    return [order["order_id"] for order in page["orders"]]


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("an empty cart", {"lines": []}, "invalid_request"),
    ("a negative quantity", {"lines": [{"sku": "RETRO-CLOCK", "quantity": -1}]}, "invalid_request"),
    (
        "a fractional quantity",
        {"lines": [{"sku": "RETRO-CLOCK", "quantity": 1.5}]},
        "invalid_request",
    ),
    ("a huge quantity", {"lines": [{"sku": "RETRO-CLOCK", "quantity": 10**18}]}, "invalid_request"),
    ("an unknown SKU", {"lines": [{"sku": "NO-SUCH", "quantity": 1}]}, "unknown_sku"),
    ("a wrong currency", {"currency": "USD"}, "wrong_currency"),
    ("no currency at all", {"currency": "euro"}, "invalid_request"),
    ("an over-long customer", {"customer_id": "x" * 65}, "invalid_request"),
    ("a card number for a token", {"payment_token": "4242424242424242"}, "invalid_request"),
    ("a card number in a token", {"payment_token": "tok_4242424242424242"}, "invalid_request"),
    (
        "a card number in groups in a token",
        {"payment_token": "tok_4242_4242_4242_4242"},
        "invalid_request",
    ),
    ("a field nobody knows", {"coupon": "X"}, "invalid_request"),
    ("too many lines", {"lines": [LINE] * 101}, "invalid_request"),
    ("a NUL in a name", {"customer_id": "a\0b"}, "invalid_request"),
]


@pytest.mark.parametrize(("name", "changes", "code"), BAD, ids=[name for name, _, _ in BAD])
def test_bad_input_is_refused_and_changes_nothing(
    stack: Services, name: str, changes: dict[str, Any], code: str
) -> None:
    before = _newest(stack)
    answer = httpx.post(f"{stack.url('order')}/checkout", json=a_checkout(**changes))
    assert problem_of(answer) == (422, code), answer.text
    assert _newest(stack) == before


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"{not json", (400, "malformed_json")),
        (b"", (422, "invalid_request")),
        (b"[]", (422, "invalid_request")),
        (b"x" * 1_048_576, (413, "body_too_large")),
    ],
    ids=["broken JSON", "no body", "a list", "one megabyte"],
)
def test_a_broken_body_is_a_problem(stack: Services, body: bytes, refusal: tuple[int, str]) -> None:
    url = f"{stack.url('order')}/checkout"
    answer = httpx.post(url, content=body, headers={"Content-Type": "application/json"})
    assert problem_of(answer) == refusal


def test_a_thousand_orders_at_once_settle_with_two_instances_of_each(stack: Services) -> None:
    urls = [instance.url for instance in stack.of("order")]
    started = time.monotonic()
    acknowledged = asyncio.run(place_many(urls, 1000, at_once=100))
    placed_s = time.monotonic() - started
    report = settled(stack, acknowledged)
    took = time.monotonic() - started
    print(f"1000 mixed orders: placed in {placed_s:.1f} s, settled and reconciled in {took:.1f} s")
    assert report.violations == []
    assert len(set(acknowledged)) == 1000


def test_what_is_for_sale_follows_the_database(stack: Services) -> None:
    inventory = stack.url("inventory")
    httpx.put(f"{stack.url('order')}/catalogue/LAMP", json={"name": "Lamp", "price_minor": 100})
    httpx.put(f"{inventory}/stock/LAMP", json={"on_hand": 7}).raise_for_status()
    assert checkout(stack, lines=[{"sku": "LAMP", "quantity": 2}]).json()["state"] == "CONFIRMED"
    shown = f"{inventory}/availability?sku=LAMP"
    until(lambda: httpx.get(shown).json() == {"LAMP": 5}, 15, "5 for sale")


@pytest.mark.parametrize("service", BY_NAME)
def test_every_service_tells_its_health_and_metrics(stack: Services, service: str) -> None:
    url = stack.url(service)
    assert httpx.get(f"{url}/health/live").status_code == 200
    assert httpx.get(f"{url}/health/ready").status_code == 200
    assert "saga_messages_total" in httpx.get(f"{url}/metrics").text
    assert httpx.get(f"{url}/openapi.json").json()["openapi"].startswith("3.")


def test_the_trace_of_the_request_is_on_every_event(stack: Services) -> None:
    from saga_cli.log.reader import read  # noqa: PLC0415

    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    order_id = checkout(stack, headers=headers).json()["order_id"]
    settled(stack, [order_id])
    logged = asyncio.run(read(stack.addresses.kafka))
    mine = [e.envelope for e in logged if e.envelope.subject == order_id]
    assert len(mine) >= 9
    assert {envelope.traceparent.split("-")[1] for envelope in mine} == {trace}
    assert {envelope.saga_id for envelope in mine} == {order_id}
