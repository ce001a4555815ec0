"""A customer can't see or change another's anything: every route of every real service that serves them."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from chassis import ids
from saga_cli.demo import a_checkout
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME
from tests.support.callers import headers_of
from tests.support.documents import application_of, guarded
from tests.support.problems import outcome_of, problem_of
from tests.support.waiting import until

ALICE: Final = "alice-of-a-test"
BOB: Final = "bob-of-a-test"
CARRIED: Final = "Idempotency-Key"


def client_of(customer: str) -> httpx.Client:
    return httpx.Client(timeout=60, headers=headers_of(customer, ("orders",)))


@pytest.fixture(scope="module")
def alice() -> Iterator[httpx.Client]:
    with client_of(ALICE) as client:
        yield client


@pytest.fixture(scope="module")
def bob() -> Iterator[httpx.Client]:
    with client_of(BOB) as client:
        yield client


def body_of(**changes: Any) -> dict[str, Any]:
    body = a_checkout(**changes)
    return (
        body if "customer_id" in changes else {k: v for k, v in body.items() if k != "customer_id"}
    )


@pytest.fixture(scope="module")
def order(stack: Services, alice: httpx.Client) -> dict[str, Any]:
    """Alice's, confirmed, and known to every service."""
    url, headers = stack.url("order"), {"Prefer": "wait=60", CARRIED: f"key-{ids.new_id()}"}
    placed = alice.post(f"{url}/checkout", json=body_of(), headers=headers)
    assert (placed.status_code, placed.json()["state"]) == (201, "CONFIRMED"), placed.text
    found: dict[str, Any] = placed.json()
    assert found["customer_id"] == ALICE
    shipment = f"{stack.url('shipping')}/shipments/{found['order_id']}"
    until(lambda: alice.get(shipment).json().get("state") == "APPROVED")
    return {**found, "key": headers[CARRIED]}


def personal() -> Iterator[tuple[str, str, str]]:
    """Each operation that serves customers with what is their own: service, method and path."""
    for service in BY_NAME:
        for method, path, route in guarded(application_of(service)):
            if route.access.own:
                yield service, method, path


def test_every_route_shows_a_customer_their_own_and_nobody_elses(
    stack: Services, alice: httpx.Client, bob: httpx.Client, order: dict[str, Any]
) -> None:
    """Derived from the declarations: a route that serves customers and is not tried here fails."""
    tried = set()
    stands_for = {"order_id": order["order_id"], "customer_id": ALICE}
    for service, method, path in personal():
        url = f"{stack.url(service)}{path.format(**stands_for)}"
        tried.add(f"{method} {path}")
        if path == "/checkout":
            theirs = bob.post(url, json=body_of(customer_id=ALICE))
            assert problem_of(theirs) == (403, "other_customer")
        elif "{" not in path:
            theirs = bob.get(url, params={"customer_id": ALICE})
            assert problem_of(theirs) == (403, "other_customer")
            assert ALICE not in bob.get(url).text
            assert order["order_id"] in alice.get(url).text
            assert {x["customer_id"] for x in alice.get(url).json()["orders"]} == {ALICE}
        else:
            theirs = bob.request(method, url)
            none = bob.request(method, url.replace(order["order_id"], "none"))
            code = "unknown_customer" if "{customer_id}" in path else none.json()["code"]
            assert problem_of(theirs) == (404, code), "it differs from what is not there"
            if method == "GET":
                assert alice.request(method, url).status_code == 200
        assert ALICE not in theirs.text.replace(url, "") or "{customer_id}" in path
    assert tried == {
        "POST /checkout",
        "GET /orders",
        "GET /orders/{order_id}",
        "GET /orders/{order_id}/events",
        "POST /orders/{order_id}/cancel",
        "GET /payments/{order_id}",
        "GET /shipments/{order_id}",
        "GET /customers/{customer_id}/points",
    }
    mine = alice.get(f"{stack.url('order')}/orders/{order['order_id']}").json()
    assert (mine["state"], len(mine["timeline"])) == ("CONFIRMED", 2)


def test_a_customer_may_do_nothing_that_is_not_for_customers(
    stack: Services, alice: httpx.Client, order: dict[str, Any]
) -> None:
    for service in BY_NAME:
        for method, path, route in guarded(application_of(service)):
            access = route.access
            if access.is_public or "orders" in {*access.own, *access.every}:
                continue
            stands_for = {"order_id": order["order_id"], "customer_id": ALICE, "sku": "TEA-SET"}
            answer = alice.request(
                method, f"{stack.url(service)}{path.format(**stands_for)}", json={}
            )
            assert problem_of(answer) == (403, "insufficient_scope"), (method, path)


def test_a_key_is_its_callers_own(
    stack: Services, alice: httpx.Client, bob: httpx.Client, order: dict[str, Any]
) -> None:
    """With her key and her very body he gets an order of his own, not her answer."""
    url, key = f"{stack.url('order')}/checkout", {CARRIED: order["key"]}
    his = bob.post(url, json=body_of(), headers=key)
    assert (his.status_code, his.json()["customer_id"]) == (201, BOB)
    assert his.json()["order_id"] != order["order_id"]
    assert "Idempotency-Replayed" not in his.headers
    hers = alice.post(url, json=body_of(), headers=key)
    assert (hers.json()["order_id"], hers.headers["Idempotency-Replayed"]) == (
        order["order_id"],
        "true",
    )


def test_a_service_acts_for_whom_it_names(stack: Services, alice: httpx.Client) -> None:
    url = stack.url("order")
    with httpx.Client(timeout=60, headers=headers_of("crm", ("service",))) as crm:
        nobody = crm.post(f"{url}/checkout", json=body_of())
        assert problem_of(nobody) == (422, "invalid_request")
        assert nobody.json()["errors"][0]["field"] == "customer_id"
        placed = crm.post(f"{url}/checkout", json=body_of(customer_id=ALICE))
        assert (placed.status_code, placed.json()["customer_id"]) == (201, ALICE)
        order_id = placed.json()["order_id"]
        assert alice.get(f"{url}/orders/{order_id}").status_code == 200
        assert outcome_of(crm.post(f"{url}/orders/{order_id}/cancel"))[0] in {202, 409}


def test_of_a_declined_payment_its_customer_is_told(stack: Services, bob: httpx.Client) -> None:
    body, wait = body_of(payment_token="tok_declined"), {"Prefer": "wait=60"}
    placed = bob.post(f"{stack.url('order')}/checkout", json=body, headers=wait).json()
    assert (placed["state"], placed["reason"]) == ("CANCELLED", "card_declined")
    payment = f"{stack.url('payment')}/payments/{placed['order_id']}"
    assert bob.get(payment).json()["state"] == "DECLINED"
    with client_of(ALICE) as alice:
        assert problem_of(alice.get(payment)) == (404, "unknown_payment")


async def test_many_customers_at_once_get_each_their_own(stack: Services) -> None:
    """Their checkouts share commits, and nothing else."""
    names = [f"c-{n}-of-a-test" for n in range(12)]

    async def visit(name: str) -> None:
        headers = headers_of(name, ("orders",))
        async with httpx.AsyncClient(timeout=60, headers=headers) as http:
            keyed = {CARRIED: "the same key of all"}
            url = stack.url("order")
            placed = await http.post(f"{url}/checkout", json=body_of(), headers=keyed)
            assert (placed.status_code, placed.json()["customer_id"]) == (201, name)
            page = (await http.get(f"{url}/orders")).json()["orders"]
            assert {x["customer_id"] for x in page} == {name}

    await asyncio.gather(*map(visit, names))
