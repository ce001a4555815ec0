"""R18: whatever is asked over HTTP is answered with a problem, never with a crash or a broken log."""

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx
import psycopg
import pytest

from chassis.http.app import BODY_MAX_BYTES
from saga_cli.demo import a_checkout
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME
from tests.support.callers import headers_of
from tests.support.problems import problem_of

MARK: Final = "hostile"
CARD: Final = "4242-4242-4242-4242"
BODIES: Final = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"NaN",
    b"\xff\xfe",
    b"[" * 30_000,
    b'{"a":' * 10_000,
)
VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    10**30,
    1.5,
    float("nan"),
    "",
    "x" * 10_000,
    "a\nb",
    "\r\n{}",
    "\x1b[31m",
    "\x00",
    "\u2028",
    "\ud800",
    "'; DROP TABLE orders; --",
    "../../etc",
    [],
    {},
    [[]],
    [{}],
)
PATHS: Final = (
    "%00",
    "%0A",
    "%1B%5B31m",
    "..%2F..",
    "%F0%9F%92%A9",
    "x" * 2_000,
    "'%3B--",
    "%ED%A0%80",
)
HEADERS: Final = (
    {"Prefer": "wait=\xb2"},
    {"Prefer": "wait=" + "9" * 400},
    {"Idempotency-Key": "k" * 10_000},
    {"Idempotency-Key": "\xff"},
    {"traceparent": "00-zz"},
    {"traceparent": f"00-{'f' * 32}-{'0' * 16}-01"},
    {"Authorization": "Bearer \xff"},
)
SERVICE: Final = pytest.mark.parametrize("service", BY_NAME)


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


def operations(http: httpx.Client, url: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and the properties of the body of every route that a service documents."""
    document = http.get(f"{url}/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            name = schema.get("$ref", "").rpartition("/")[2]
            found = document.get("components", {}).get("schemas", {}).get(name, {})
            yield method.upper(), path, found.get("properties", {})


def requests(http: httpx.Client, url: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for method, path, properties in operations(http, url):
        plain = path.replace("{", "").replace("}", "")
        if "{" in path:
            parts = path.partition("{")
            yield from (
                (method, f"{parts[0]}{hostile}{parts[2].partition('}')[2]}", {})
                for hostile in PATHS
            )
        yield from ((method, plain, {"headers": headers}) for headers in HEADERS)
        if method == "GET":
            yield from ((method, f"{plain}?cursor={p}&limit={p}&key={p}", {}) for p in PATHS)
            continue
        yield from ((method, plain, {"content": body}) for body in BODIES)
        for name in (*properties, MARK):
            yield from ((method, plain, {"content": json.dumps({name: value})}) for value in VALUES)


@SERVICE
def test_no_request_crashes_a_service(stack: Services, http: httpx.Client, service: str) -> None:
    url, asked, crashed = stack.url(service), 0, []
    for method, path, more in requests(http, url):
        headers = {"Content-Type": "application/json"} | more.pop("headers", {})
        raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        answer = http.request(method, f"{url}{path}", headers=raw, **more)
        asked += 1
        media_type = answer.headers.get("content-type", "")
        if answer.status_code >= 500 or (
            answer.is_error and media_type != "application/problem+json"
        ):
            crashed.append(
                (answer.status_code, method, path[:60], str(headers)[:80], str(more)[:80])
            )
    print(f"{service}: {asked} requests")
    assert crashed == []
    assert asked > 50


@SERVICE
def test_a_body_without_a_length_is_cut_off_at_the_limit(
    stack: Services, http: httpx.Client, service: str
) -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"a":"'
        for _ in range(BODY_MAX_BYTES // 1000 + 1):
            yield b"x" * 1000
        yield b'"}'

    paths = [(m, p) for m, p, found in operations(http, stack.url(service)) if found and m != "GET"]
    assert paths
    for method, path in paths:
        headers = {"Content-Type": "application/json", **operator(stack)}
        url = f"{stack.url(service)}{path.replace('{', '').replace('}', '')}"
        answer = http.request(method, url, content=endless(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large"), (
            method,
            path,
        )


@SERVICE
def test_a_body_that_is_not_plain_json_is_415_and_another_path_is_404(
    stack: Services, http: httpx.Client, service: str
) -> None:
    """The slash at the end leads nowhere: a redirect would go to whatever Host says."""
    paths = [(m, p) for m, p, found in operations(http, stack.url(service)) if found and m != "GET"]
    assert paths
    for method, path in paths:
        url = f"{stack.url(service)}{path.replace('{', '').replace('}', '')}"
        asked = operator(stack) | {"Content-Type": "application/json", "Host": "evil.example"}
        for changes, suffix, refusal in (
            ({"Content-Encoding": "gzip"}, "", (415, "unsupported_encoding")),
            ({"Content-Type": "text/plain"}, "", (415, "unsupported_media_type")),
            ({}, "/", (404, "not_found")),
        ):
            answer = http.request(method, url + suffix, content=b"{}", headers=asked | changes)
            assert problem_of(answer) == refusal, (method, path, changes)
            assert "location" not in answer.headers


def with_card_numbers() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Service, method, path and body of each way on which a text comes into an event that is kept."""
    price: dict[str, Any] = {"name": "A thing", "price_minor": 1}
    delivery: dict[str, Any] = {
        "name": "Zoë",
        "street": "Rue 5",
        "city": "Lyon",
        "email": "z@example.com",
    }
    changes: tuple[dict[str, Any], ...] = (
        {"customer_id": CARD},
        {"payment_token": f"tok_{CARD.replace('-', '_')}"},
        {"postal_code": CARD.replace("-", "")},
        {"lines": [{"sku": "RETRO-CLOCK", "quantity": 1}, {"sku": CARD, "quantity": 1}]},
        *({"delivery": delivery | {name: f"x {CARD} y"}} for name in delivery),
    )
    yield from (("order", "POST", "/checkout", a_checkout(**change)) for change in changes)
    yield "order", "PUT", f"/customers/{CARD}", {}
    yield "order", "PUT", f"/catalogue/{CARD}", price
    yield "order", "PUT", "/catalogue/CARD-NAME", price | {"name": f"No. {CARD}"}
    yield "inventory", "PUT", f"/stock/{CARD}", {"on_hand": 1}
    yield "inventory", "POST", f"/stock/{CARD}/receipts", {"quantity": 1}
    yield "loyalty", "PUT", f"/customers/{CARD}/standing", {"suspended": True}
    yield "shipping", "POST", f"/shipments/{CARD}/dispatch", {}


@pytest.mark.parametrize(("service", "method", "path", "body"), tuple(with_card_numbers()))
def test_no_card_number_enters_a_log_that_is_kept(
    stack: Services, service: str, method: str, path: str, body: dict[str, Any]
) -> None:
    answer = httpx.request(method, f"{stack.url(service)}{path}", json=body, timeout=30)
    is_a_token = CARD in str(body.get("payment_token")).replace(
        "_", "-"
    )  # which has a form of its own
    code = "invalid_request" if is_a_token else "card_number"
    assert problem_of(answer) == (422, code), answer.text
    assert CARD not in answer.text.replace("_", "-")


def test_no_customer_goes_by_a_card_number(stack: Services) -> None:
    """A pseudonym is made before an order is decided on."""
    order = stack.url("order")
    answers = [
        httpx.post(f"{order}/checkout", json=a_checkout(customer_id=CARD), timeout=30),
        httpx.put(f"{order}/customers/{CARD}", timeout=30),
    ]
    assert [problem_of(answer) for answer in answers] == [(422, "card_number")] * 2
    with psycopg.connect(stack.addresses.database_url(BY_NAME["order"])) as connection:
        query = "SELECT count(*) FROM customers WHERE customer_id = %s"
        assert connection.execute(query, (CARD,)).fetchone() == (0,)


@pytest.mark.parametrize("wish", ["wait=\xb2", "wait=" + "9" * 400, "wait=1e9", "wait"])
def test_a_preference_that_makes_no_sense_is_ignored(stack: Services, wish: str) -> None:
    answer = httpx.post(
        f"{stack.url('order')}/checkout",
        json=a_checkout(country="AQ"),
        headers={b"Prefer": wish.encode("latin-1")},
        timeout=30,
    )
    assert answer.status_code == 201, answer.text


def operator(stack: Services) -> dict[str, str]:
    return headers_of()


@SERVICE
def test_a_line_of_the_log_is_one_object_whatever_was_asked(stack: Services, service: str) -> None:
    """The tests above have asked."""
    lines = [line for i in stack.of(service) for line in i.process.log.read_bytes().splitlines()]
    assert lines
    broken = [line for line in lines if not line.startswith(b"{") or not line.endswith(b"}")]
    assert broken == []
    for line in lines:
        assert isinstance(json.loads(line), dict)
        assert not set(line) & set(range(32)), line
