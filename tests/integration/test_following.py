"""An order's steps as a front end sees them, from the real services."""

import json
from typing import Any, Final

import httpx
import pytest

from saga_cli.demo import a_checkout
from saga_cli.stack.services import Services
from tests.support.callers import headers_of
from tests.support.problems import problem_of

ALICE: Final = headers_of("alice-who-follows", ("orders",))


@pytest.fixture(scope="module")
def order(stack: Services) -> dict[str, Any]:
    body = {**a_checkout(), "customer_id": "alice-who-follows"}
    placed: dict[str, Any] = httpx.post(f"{stack.url('order')}/checkout", json=body).json()
    return placed


def events_of(text: str) -> list[dict[str, Any]]:
    """Each with its fields by name, and what its data says."""
    parts = (part.split("\n") for part in text.split("\n\n") if part)
    fields = (dict(line.split(": ", 1) for line in lines) for lines in parts)
    return [{**f, **json.loads(f["data"])} for f in fields if "data" in f]


def asked(stack: Services, order_id: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{stack.url('order')}/orders/{order_id}/events"
    return httpx.get(url, headers={**ALICE, **named}, timeout=60)


@pytest.fixture(scope="module")
def stream(stack: Services, order: dict[str, Any]) -> httpx.Response:
    return asked(stack, order["order_id"])


def test_the_stream_has_each_step_and_ends_with_the_settled_order(
    stream: httpx.Response, order: dict[str, Any]
) -> None:
    assert stream.headers["content-type"].startswith("text/event-stream")
    first, *_, last = found = events_of(stream.text)
    assert [event["id"] for event in found] == [str(n) for n in range(1, len(found) + 1)]
    assert (first["event"], first["state"], first["cause"]) == ("step", "PENDING", "PlaceOrder")
    assert (last["event"], last["state"]) == ("settled", "CONFIRMED")
    assert last["order"] == {**order, "state": "CONFIRMED"}


def test_it_goes_on_after_the_last_event_and_then_there_is_nothing_to_wait_for(
    stack: Services, stream: httpx.Response, order: dict[str, Any]
) -> None:
    found = events_of(stream.text)
    assert events_of(asked(stack, order["order_id"], Last_Event_ID="1").text) == found[1:]
    ended = asked(stack, order["order_id"], Last_Event_ID=str(len(found)))
    assert (ended.status_code, ended.content) == (204, b"")
    assert events_of(asked(stack, order["order_id"], Last_Event_ID="99").text) == found


def test_an_order_is_followed_by_whom_it_belongs_to(stack: Services, order: dict[str, Any]) -> None:
    others = headers_of("bob", ("orders",))
    refused = asked(stack, order["order_id"], **others)
    assert problem_of(refused) == (404, "unknown_order")
    assert asked(stack, order["order_id"]).is_success


def test_a_last_event_that_is_no_number_is_refused(stack: Services, order: dict[str, Any]) -> None:
    refused = asked(stack, order["order_id"], Last_Event_ID="x")
    assert problem_of(refused) == (400, "invalid_header")


def test_head_is_answered_at_once(stack: Services, order: dict[str, Any]) -> None:
    url = f"{stack.url('order')}/orders/{order['order_id']}/events"
    assert httpx.head(url, headers=ALICE).status_code == 200


def test_the_example_page_is_served_only_where_it_is_asked_for(stack: Services) -> None:
    absent = httpx.get(f"{stack.url('order')}/example")
    assert problem_of(absent) == (404, "not_found")
