"""Who may use which route: pinned here, documented, and enforced before anything of a request is read."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import httpx
import pytest

from chassis.http import PUBLIC, Gate, GuardedRoute
from chassis.http.access import Access
from chassis.http.app import make_app
from saga_cli.topology import BY_NAME
from tests.support.callers import gate_for, open_gate
from tests.support.documents import application_of, document_of, guarded
from tests.support.issuing import EC, OKP, a_verifier, signed

READERS: Final = "service operate audit"
OPERATORS: Final = {
    "GET /ops/actions": "operate audit",
    "GET /ops/dead-letters": "operate audit",
    "GET /ops/dead-letters/messages": "operate audit",
    "GET /ops/orders": "operate audit",
    "GET /ops/outbox": "operate audit",
    "POST /ops/dead-letters/discard": "operate",
    "POST /ops/dead-letters/redrive": "operate",
    "POST /ops/dead-letters/skip": "operate",
    "POST /ops/expedite": "operate",
    "POST /ops/outbox/discard": "operate",
    "POST /ops/outbox/redrive": "operate",
    "POST /ops/resolve": "operate",
    "GET /health/live": "public",
    "GET /health/ready": "public",
    "GET /metrics": "public",
    "GET /version": "public",
}
"""Of every service."""
ROUTES: Final = {
    "POST /checkout": "own:orders service",
    "GET /orders": f"own:orders {READERS}",
    "GET /orders/{order_id}": f"own:orders {READERS}",
    "GET /orders/{order_id}/events": f"own:orders {READERS}",
    "POST /orders/{order_id}/cancel": "own:orders service",
    "GET /catalogue": f"orders shop {READERS}",
    "PUT /catalogue/{sku}": "shop",
    "PUT /customers/{customer_id}": "service operate",
    "GET /availability": f"orders shop {READERS}",
    "GET /stock/{sku}": "shop operate audit",
    "PUT /stock/{sku}": "shop",
    "POST /stock/{sku}/receipts": "shop",
    "POST /stock/{sku}/write-offs": "shop",
    "POST /stock/{sku}/returns": "shop",
    "GET /payments/{order_id}": f"own:orders {READERS}",
    "POST /webhooks/stripe": "public",
    "GET /shipments/{order_id}": f"own:orders shop {READERS}",
    "POST /shipments/{order_id}/dispatch": "shop",
    "GET /customers/{customer_id}/points": f"own:orders {READERS}",
    "PUT /customers/{customer_id}/standing": "operate",
}
"""The scopes that open a route: after `own:` for what is the caller's own."""
SCOPES: Final = ("orders", "shop", "operate", "audit", "service")
SERVICE: Final = pytest.mark.parametrize("service", BY_NAME)


def opened_by(access: Access) -> frozenset[str]:
    if access.is_public:
        return frozenset({"public"})
    return frozenset({*(f"own:{scope}" for scope in access.own), *access.every})


def operations(service: str, gate: Gate | None = None) -> Iterator[tuple[str, GuardedRoute]]:
    for method, path, route in guarded(application_of(service, gate)):
        yield f"{method} {path}", route


@SERVICE
def test_each_route_is_open_to_whom_this_table_says(service: str) -> None:
    found = {name: opened_by(route.access) for name, route in operations(service)}
    wanted = {**OPERATORS, **ROUTES}
    assert found == {name: frozenset(wanted.get(name, "").split()) for name in found}
    assert found.keys() >= OPERATORS.keys()


def test_each_route_of_the_table_is_there() -> None:
    found = {name for service in BY_NAME for name, _ in operations(service)}
    assert found == {*OPERATORS, *ROUTES}


@SERVICE
def test_the_document_names_the_scopes_and_the_refusals(service: str) -> None:
    document = document_of(service)
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for name, route in operations(service):
        method, path = name.split()
        operation = document["paths"][path][method.lower()]
        listed = [scope for each in operation.get("security", ()) for scope in each["bearer"]]
        assert sorted(listed) == sorted(route.access.own | route.access.every), name
        refused = {"401", "403", "429"} if listed else set[str]()
        assert refused <= operation["responses"].keys(), name
        if route.access.own and "{" in path:
            assert "404" in operation["responses"], name


def test_a_route_that_does_not_say_who_may_use_it_can_not_be_made() -> None:
    async def conditions() -> tuple[Any, ...]:
        return ()

    app = make_app("order", conditions, open_gate())

    async def forgotten() -> None: ...

    with pytest.raises(ValueError, match="does not say who may use it"):
        app.get("/forgotten")(forgotten)


# Every route, with every kind of token

TOKENS: Final[dict[str, tuple[dict[str, str], int]]] = {
    "no token": ({}, 401),
    "another scheme": ({"Authorization": "Basic YWxpY2U6eA=="}, 401),
    "no JWT": ({"Authorization": "Bearer x"}, 401),
}
BAD: Final[dict[str, dict[str, Any]]] = {
    "wrong issuer": {"iss": "https://other.example.com"},
    "wrong audience": {"aud": "other"},
    "expired": {"exp": 1},
    "not begun": {"nbf": 4_000_000_000},
}


@cache
def tokens() -> dict[str, tuple[dict[str, str], Any]]:
    """Headers, and the status that they get; or the scope, of which that depends."""
    made: dict[str, tuple[dict[str, str], Any]] = {**TOKENS}
    for name, changes in BAD.items():
        token = signed(EC, scope=" ".join(SCOPES), **changes)
        made[name] = ({"Authorization": f"Bearer {token}"}, 401)
    for scope in (*SCOPES, "", "Orders", "order", "admin", "*"):
        made[f"scope {scope!r}"] = ({"Authorization": f"Bearer {signed(OKP, scope=scope)}"}, scope)
    return made


@SERVICE
async def test_every_route_lets_in_whom_it_says_and_nobody_else(service: str) -> None:
    """A body or a parameter that is missing tells nobody anything before."""
    app = application_of(service, Gate(service, a_verifier()))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    seen = 0
    async with httpx.AsyncClient(transport=transport, base_url="http://it") as http:
        for name, route in operations(service):
            method, path = name.split()
            opens = route.access.own | route.access.every
            for kind, (headers, wanted) in tokens().items():
                answer = await http.request(method, path.format_map(_Any()), headers=headers)
                refused = answer.status_code if answer.status_code in {401, 403} else 0
                status = wanted if isinstance(wanted, int) else 0 if wanted in opens else 403
                expected = 0 if route.access is PUBLIC else status
                if name == "POST /webhooks/stripe":  # which its signature guards
                    continue
                assert refused == expected, (name, kind, answer.text)
                seen += 1
                if refused:
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer realm="), name
                    assert answer.headers["Content-Type"] == "application/problem+json", name
    assert seen > 200


class _Any(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "x"


@SERVICE
async def test_where_nobody_is_asked_operators_are_not_either(service: str) -> None:
    app = application_of(service, open_gate(service))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://it") as http:
        for name, route in operations(service):
            method, path = name.split()
            if route.access.needs_caller:
                answer = await http.request(method, path)
                assert (answer.status_code, answer.json()["code"]) == (403, "operator_api_off")
                assert f"{service.upper()}_AUTH" in answer.json()["detail"]


async def test_a_token_of_several_scopes_has_what_each_of_them_opens() -> None:
    gate = gate_for(boss=("orders", "service"))
    granted = await gate.admit(
        Access(own={"orders"}, every={"service"}),
        {"type": "http", "headers": [(b"authorization", b"Bearer boss")], "client": None},
    )
    assert (granted.subject, granted.restricted) == ("boss", False)
