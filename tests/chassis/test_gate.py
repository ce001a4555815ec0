"""Rates, pages of other origins, ports for people, and what every response says for browsers."""

from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from chassis.health import Health
from chassis.http import PUBLIC, Access, Gate, allow_origins, open_to
from chassis.http.app import make_app
from chassis.http.rates import RateLimit
from chassis.process.access import PAGES, OnlyPages, gate_of, watch_issuer
from chassis.process.settings import RequestRate, ServiceSettings
from tests.support.callers import known_tokens, open_gate
from tests.support.issuing import ISSUER, KeySet, a_verifier, signed
from tests.support.problems import outcome_of, problem_of
from tests.support.stopped_clock import StoppedClock

SHOP: Final = "https://shop.example.com"


def an_app(gate: Gate) -> FastAPI:
    async def conditions() -> tuple[Any, ...]:
        return ()

    app = make_app("order", conditions, gate)

    @app.get("/things", tags=["things"])
    @open_to(Access(own={"orders"}))
    async def things() -> list[str]:
        return []

    @app.get("/version", tags=["things"])
    @open_to(PUBLIC)
    async def version() -> str:
        return "as a service has it"

    @app.get("/open", tags=["things"])
    @open_to(PUBLIC)
    async def public() -> list[str]:
        return []

    return app


async def ask(
    app: ASGIApp,
    path: str = "/things",
    address: str = "192.0.2.1",
    method: str = "GET",
    **more: str,
) -> httpx.Response:
    transport = httpx.ASGITransport(app, client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://order") as http:
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        return await http.request(method, path, headers=headers)


# Rates


async def test_a_rate_fills_steadily_and_says_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = StoppedClock(monkeypatch)
    gate = Gate("order", known_tokens(alice=("orders",)), RateLimit("subject", RequestRate(3, 60)))
    app = an_app(gate)

    async def answered() -> tuple[int, str, str | None]:
        answer = await ask(app, authorization="Bearer alice")
        assert answer.headers["RateLimit-Policy"] == '"subject";q=3;w=60'
        return answer.status_code, answer.headers["RateLimit"], answer.headers.get("Retry-After")

    assert [await answered() for _ in range(4)] == [
        (200, '"subject";r=2;t=20', None),
        (200, '"subject";r=1;t=40', None),
        (200, '"subject";r=0;t=60', None),
        (429, '"subject";r=0;t=60', "20"),
    ]
    time.s += 20
    assert await answered() == (200, '"subject";r=0;t=60', None)
    time.s += 600
    assert await answered() == (200, '"subject";r=2;t=20', None)


async def test_an_address_is_counted_before_its_token_and_a_trusted_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    StoppedClock(monkeypatch)
    settings = ServiceSettings(
        kafka_bootstrap="k:1", auth_issuer=ISSUER, http_rate_per_address=RequestRate(2, 60)
    )
    gate, _ = gate_of("order", settings)
    app = an_app(gate)
    codes = [outcome_of(await ask(app)) for _ in range(3)]
    assert codes == [(401, "token_missing"), (401, "token_missing"), (429, "rate_limited")]
    assert problem_of(await ask(app, address="192.0.2.2")) == (401, "token_missing")
    network = [outcome_of(await ask(app, address=f"2001:db8::{n}"))[0] for n in range(3)]
    assert network == [401, 401, 429]
    assert [outcome_of(await ask(app, address="127.0.0.1"))[0] for _ in range(4)] == [401] * 4
    assert [(await ask(app, "/open")).status_code for _ in range(4)] == [200] * 4


async def test_without_a_rate_nothing_is_said_of_any() -> None:
    answer = await ask(
        an_app(Gate("order", known_tokens(alice=("orders",)))), authorization="Bearer alice"
    )
    assert not [name for name in answer.headers if name.startswith("ratelimit")]


def test_parties_that_are_counted_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    StoppedClock(monkeypatch)
    monkeypatch.setattr("chassis.http.rates.PARTIES_MAX", 10)
    limit = RateLimit("subject", RequestRate(1, 60))
    for number in range(100):
        limit.take(str(number))
    assert len(limit.full_at) == 10


# Pages of other origins


async def test_no_page_of_another_origin_is_let_in() -> None:
    app = an_app(open_gate())
    answer = await ask(app, "/open", origin=SHOP)
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    asked = {"origin": SHOP, "access_control_request_method": "GET"}
    preflight = await ask(app, "/open", method="OPTIONS", **asked)
    assert problem_of(preflight) == (405, "method_not_allowed")


async def test_pages_of_the_origins_of_the_setting_are() -> None:
    app = an_app(open_gate())
    allow_origins(app, (SHOP,))
    asked = {
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization",
    }
    allowed = await ask(app, "/open", method="OPTIONS", origin=SHOP, **asked)
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == SHOP
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    other = await ask(app, "/open", method="OPTIONS", origin="https://evil.example.com", **asked)
    assert "Access-Control-Allow-Origin" not in other.headers
    simple = await ask(app, "/open", origin=SHOP)
    assert simple.headers["Access-Control-Allow-Origin"] == SHOP
    assert "Retry-After" in simple.headers["Access-Control-Expose-Headers"]


# Ports


@pytest.mark.parametrize("path", [*PAGES, "/open", "/health/live"])
async def test_pages_for_people_leave_the_one_port_for_the_other(path: str) -> None:
    app = an_app(open_gate())
    main, admin = OnlyPages(app, pages=False), OnlyPages(app, pages=True)
    is_page, is_health = path in PAGES, path.startswith("/health")
    assert (await ask(app, path)).status_code == 200
    for port, is_there in ((main, not is_page), (admin, is_page or is_health)):
        outcome = outcome_of(await ask(port, path))
        assert outcome == ((200, "") if is_there else (404, "not_found"))


# What a process says of itself


async def test_a_process_that_asks_nobody_says_so_at_its_start() -> None:
    settings = ServiceSettings(kafka_bootstrap="k:1", auth="off")
    gate, keys = gate_of("order", settings)
    assert keys is None
    with capture_logs() as lines:
        gate.report()
    assert [(line["log_level"], line["event"], line["setting"]) for line in lines] == [
        ("warning", "auth_off", "ORDER_AUTH=off")
    ]
    assert REGISTRY.get_sample_value("saga_auth_off", {"service": "order"}) == 1
    with capture_logs() as lines:
        Gate("order", a_verifier()).report()
    assert lines == []
    assert REGISTRY.get_sample_value("saga_auth_off", {"service": "order"}) == 0


async def test_an_issuer_that_is_away_degrades_and_one_that_never_answered_blocks() -> None:
    source, health = KeySet(away="no answer"), Health("order")
    keys = a_verifier(source).keys
    watch_issuer(health, keys)
    assert [(c.reason, c.blocking) for c in health.now()] == [("issuer_unknown", True)]
    source.away = ""
    await keys.refresh()
    assert health.now() == ()
    source.away = "no answer"
    await keys.refresh()
    assert [(c.reason, c.blocking, c.detail) for c in health.now()] == [
        ("issuer_away", False, "no answer")
    ]


async def test_while_nothing_can_be_verified_the_answer_is_come_back() -> None:
    app = an_app(Gate("order", a_verifier(KeySet(away="no answer"))))
    answer = await ask(app, authorization=f"Bearer {signed()}")
    assert problem_of(answer) == (503, "issuer_away")
    assert answer.headers["Retry-After"] == "1"


async def test_refusals_are_counted_by_their_code() -> None:
    app = an_app(Gate("gatekeeper", known_tokens(nobody=())))
    for given in ("Bearer x", "Bearer x", "Bearer nobody", "Basic x"):
        await ask(app, authorization=given)

    def count(why: str) -> float | None:
        labels = {"service": "gatekeeper", "why": why}
        return REGISTRY.get_sample_value("saga_auth_refused_total", labels)

    assert [count(why) for why in ("invalid_token", "insufficient_scope", "token_missing")] == [
        2,
        1,
        1,
    ]
