"""The console's pages over sample values: who may see and do what, and what a page shows of it."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest

from chassis.errors import TransientError
from chassis.http import GuardedRoute
from console.model import Change, Changes
from console.web import orders_pages
from console.web.app import make_console
from console.web.live import Hub
from console.web.login_pages import local
from tests.support.callers import gate_for, open_gate
from tests.support.console_sample import (
    AT,
    CUSTOMER,
    ORDER_ID,
    SampleQueries,
    SampleServices,
    an_order,
)

CALLERS: Final = {"vera": ("view",), "anna": ("operate",), "otto": ("audit",), "carl": ("orders",)}
LOOKERS: Final = {"vera", "anna", "otto"}
PAGES: Final = (
    "/",
    "/map",
    "/orders",
    "/orders.csv",
    f"/orders/{ORDER_ID}",
    "/failures",
    "/services",
)
READ_BY: Final = {"operate", "audit", "view"}
HTML: Final = {"Accept": "text/html"}


async def nothing_fails() -> tuple[Any, ...]:
    return ()


class Case:
    def __init__(self) -> None:
        self.queries = SampleQueries({"payment:Capture": 90})
        self.services = SampleServices()
        self.app = make_console(
            self.queries.as_queries(),
            self.services.urls,
            gate_for(**CALLERS),
            nothing_fails,
            transport=self.services.transport,
        )

    def client(self, who: str = "anna", **more: Any) -> httpx.AsyncClient:
        """A browser that has signed in."""
        headers = {**HTML, "Cookie": f"console_session={who}", **more, "Authorization": ""}
        del headers["Authorization"]
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://console", headers=headers)


@pytest.fixture
async def case() -> AsyncIterator[Case]:
    made = Case()
    yield made
    await made.app.state.console.close()


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("who", CALLERS)
async def test_a_page_is_for_whom_may_look(case: Case, who: str, path: str) -> None:
    async with case.client(who) as http:
        answer = await http.get(path)
    assert answer.status_code == (200 if who in LOOKERS else 403)


@pytest.mark.parametrize("path", [*PAGES, "/live", f"/orders/{ORDER_ID}/services"])
async def test_without_a_token_one_is_sent_to_sign_in_and_comes_back(case: Case, path: str) -> None:
    async with case.client("nobody") as http:
        answer = await http.get(path)
        assert answer.status_code == 303
        assert answer.headers["Location"] == f"/login?after={path}"
        part = await http.get(path, headers={"HX-Request": "true"})
        assert part.headers["HX-Redirect"] == "/login"
        plain = await http.get(path, headers={"Accept": "application/json"})
        assert (plain.status_code, plain.json()["code"]) == (401, "invalid_token")


def test_each_route_says_who_may_use_it(case: Case) -> None:
    routes = [route for route in case.app.routes if isinstance(route, GuardedRoute)]
    changing = {"/failures/{group}/plan", "/jobs", "/jobs/{job_id}"}
    free = {"/login", "/logout", "/static/{name}", "/health/live", "/health/ready", "/metrics"}
    for route in routes:
        methods = route.methods or set()
        if route.path in free:
            assert route.access.is_public, route.path
        elif route.path == "/orders/{order_id}/reveal":
            assert (set(route.access.every), route.access.needs_caller) == ({"audit"}, True)
        elif route.path in changing and "POST" in methods:
            assert (set(route.access.every), route.access.needs_caller) == ({"operate"}, True)
        else:
            assert methods <= {"GET", "HEAD"}, route.path
            assert set(route.access.every) == READ_BY, route.path


async def test_where_nobody_is_asked_all_may_look_and_nobody_repairs() -> None:
    queries, services = SampleQueries(), SampleServices()
    app = make_console(queries.as_queries(), services.urls, open_gate("console"), nothing_fails)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as http:
        assert (await http.get("/orders", headers=HTML)).status_code == 200
        body = {"plan": ORDER_ID, "rate": 5}
        answer = await http.post("/jobs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "operator_api_off")


# Signing in


async def test_signing_in_keeps_the_token_where_no_script_reads_it(case: Case) -> None:
    async with case.client("") as http:
        http.headers.pop("cookie")
        answer = await http.post("/login", json={"token": " anna ", "after": "/orders"})
        assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/orders")
        cookie = answer.headers["Set-Cookie"]
        assert "console_session=anna" in cookie
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert (await http.get("/orders")).status_code == 200
        gone = await http.post("/logout", headers={"HX-Request": "true"})
        assert gone.headers["HX-Redirect"] == "/login"
        assert (await http.get("/orders")).status_code == 303


@pytest.mark.parametrize(("token", "status"), [("nobody", 401), ("carl", 403)])
async def test_a_token_that_counts_for_nothing_is_not_kept(
    case: Case, token: str, status: int
) -> None:
    async with case.client("") as http:
        answer = await http.post("/login", json={"token": token})
    assert answer.status_code == status
    assert "Set-Cookie" not in answer.headers
    assert "Not signed in" in answer.text


@pytest.mark.parametrize(
    ("after", "goes_to"),
    [
        ("/orders?filter=a", "/orders?filter=a"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("", "/"),
    ],
)
def test_after_signing_in_one_stays_in_the_console(after: str, goes_to: str) -> None:
    assert local(after) == goes_to


async def test_another_site_can_change_nothing(case: Case) -> None:
    """Its form would bring the cookie if a browser sent it, and not the header of the console's pages."""
    async with case.client() as http:
        for path in ("/jobs", "/failures/0123456789ab/plan", "/logout"):
            answer = await http.post(path, json={"plan": ORDER_ID})
            assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
        form = await http.post("/jobs", data={"plan": ORDER_ID}, headers={"HX-Request": "true"})
        assert form.status_code == 415
    assert case.services.acts == []


async def test_nothing_from_elsewhere_runs_in_a_page(case: Case) -> None:
    async with case.client() as http:
        answer = await http.get("/")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert (
            re.findall(r"<script(?! src=\"/static/)| style=| on\w+=|javascript:", answer.text) == []
        )
        sources = re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text)
        assert len(sources) == 3
        for source in sources:
            assert (await http.get(source)).status_code == 200
        assert (await http.get("/static/..%2fapp.py")).status_code == 404


# Orders


async def test_a_filter_that_is_none_says_why_and_lists_nothing(case: Case) -> None:
    async with case.client() as http:
        answer = await http.get("/orders", params={"filter": "colour:red <b>"})
    assert answer.status_code == 422
    assert "there is no &#39;colour&#39;" in answer.text
    assert "<b>" not in answer.text.partition("<main")[2].replace("<b>That is no filter", "")
    assert case.queries.asked == []


async def test_the_list_is_paged_and_a_page_that_is_none_is_refused(case: Case) -> None:
    async with case.client() as http:
        first = await http.get("/orders", params={"filter": "state:pending"})
        assert "/orders?filter=state%3Apending&amp;cursor=second" in first.text
        assert "10,000+ orders" in first.text
        second = await http.get("/orders", params={"filter": "state:pending", "cursor": "second"})
        assert "cursor=" not in second.text
        assert (await http.get("/orders", params={"cursor": "mine"})).status_code == 400


async def test_retried_orders_are_those_that_the_services_name(case: Case) -> None:
    async with case.client() as http:
        await http.get("/orders", params={"filter": "retrying:yes"})
    assert case.queries.asked[-1].ids == {row.id for row in case.queries.rows}


async def test_the_list_as_csv_is_of_all_pages_and_holds_no_formula(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders_pages, "CSV_PAGE", 8)
    case.queries.rows = (an_order(1, reason="=cmd()", customer="@x"), an_order(2, reason='a,"b"'))
    async with case.client() as http:
        answer = await http.get("/orders.csv", params={"filter": "state:pending"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["reason"] for row in rows] == ["'=cmd()", 'a,"b"'] * 2
    assert rows[0]["customer"] == "'@x"
    assert rows[0]["since"] == case.queries.rows[0].since.isoformat()


@pytest.mark.parametrize(
    ("asked", "leads_to"),
    [
        (ORDER_ID, f"/orders/{ORDER_ID}"),
        (CUSTOMER, f"/orders?filter=customer%3A{CUSTOMER}"),
        ("state:pending", "/orders?filter=state%3Apending"),
    ],
)
async def test_the_box_finds_things(case: Case, asked: str, leads_to: str) -> None:
    async with case.client() as http:
        answer = await http.get("/find", params={"q": f" {asked} "})
        assert (answer.status_code, answer.headers["Location"]) == (303, leads_to)
        unknown = await http.get("/find", params={"q": "<i>?"})
        assert "Nothing in the log has the id" in unknown.text
        assert "<i>" not in unknown.text


# An order


async def test_an_order_shows_no_personal_data(case: Case) -> None:
    async with case.client() as http:
        text = (await http.get(f"/orders/{ORDER_ID}")).text
    assert "•••" in text
    assert "10115" not in text
    assert "tok_visa" not in text
    assert "Show personal data" not in text


async def test_an_auditor_sees_personal_data_with_a_reason_that_is_recorded_first(
    case: Case,
) -> None:
    path = f"/orders/{ORDER_ID}/reveal"
    async with case.client("otto", **{"HX-Request": "true"}) as http:
        assert "Show personal data" in (await http.get(f"/orders/{ORDER_ID}")).text
        assert (await http.post(path, json={"reason": "no"})).status_code == 422
        assert case.queries.recorded == []
        shown = await http.post(path, json={"reason": "parcel was sent back"})
        assert "10115" in shown.text
        assert "tok_visa" not in shown.text
    assert case.queries.recorded == [("otto", "reveal", ORDER_ID, "parcel was sent back")]
    async with case.client("anna", **{"HX-Request": "true"}) as http:
        assert (await http.post(path, json={"reason": "curious"})).status_code == 403


async def test_what_services_say_is_asked_with_the_viewers_own_token_and_silence_is_shown(
    case: Case,
) -> None:
    case.services.silent = {"loyalty"}
    async with case.client() as http:
        text = (await http.get(f"/orders/{ORDER_ID}/services")).text
    assert "the bank answered 503" in text
    assert "does not answer" in text


async def test_two_orders_side_by_side(case: Case) -> None:
    async with case.client() as http:
        answer = await http.get("/compare", params={"a": ORDER_ID, "b": ORDER_ID})
        assert answer.text.count(f'href="/orders/{ORDER_ID}"') == 2
        assert (await http.get("/compare", params={"a": ORDER_ID, "b": "x"})).status_code == 404


# The map and errors


async def test_the_map_of_the_past_asks_no_service(case: Case) -> None:
    case.services.silent = {"payment"}
    async with case.client() as http:
        now = (await http.get("/")).text
        past = (await http.get("/", params={"at": AT.isoformat()})).text
        assert (await http.get("/", params={"at": "long ago"})).status_code == 422
    assert "payment does not answer" in now
    assert "payment does not answer" not in past
    assert "Where orders stood" in past


async def test_kafka_away_is_said_on_the_map(case: Case) -> None:
    case.queries.why = "Kafka does not answer"
    async with case.client() as http:
        text = (await http.get("/")).text
    assert "The console does not read the log" in text


async def test_an_error_is_a_page_with_its_status(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with case.client() as http:
        for path, status in (("/nowhere", 404), ("/orders/unknown", 404), ("/?x=1", 400)):
            answer = await http.get(path)
            assert (answer.status_code, "<main" in answer.text) == (status, True)

        async def away() -> None:
            raise TransientError("the database is away")

        monkeypatch.setattr(case.queries, "standing", away)
        answer = await http.get("/")
        assert answer.status_code == 503
        assert "database does not answer" in answer.text


# Repairs


async def test_a_group_is_repaired_from_its_page_and_both_are_recorded(case: Case) -> None:
    async with case.client("anna", **{"HX-Request": "true"}) as http:
        listed = (await http.get("/failures")).text
        group = re.findall(r"/failures/([0-9a-f]{12})", listed)
        pages = [(await http.get(f"/failures/{each}")).text for each in group]
        parked = next(g for g, text in zip(group, pages, strict=True) if "redrive" in text)
        body = {
            "action": "redrive",
            "note": "fixed",
            "keys": case.services.heads["payment"][0]["key"],
        }
        one = await http.post(f"/failures/{parked}/plan", json={**body, "keys": [body["keys"]]})
        assert "Redrive 1 order of payment?" in one.text
        planned = await http.post(
            f"/failures/{parked}/plan", json={"action": "redrive", "note": "fixed"}
        )
        assert "Redrive 7 orders of payment?" in planned.text
        plan = re.findall(r'name="plan" value="([^"]+)"', planned.text)[0]
        begun = await http.post("/jobs", json={"plan": plan, "rate": "500"})
        job = begun.headers["HX-Redirect"]
        await asyncio.wait_for(_ended(http, job), 10)
        assert "7 acted on, 0 refused, 0 ignored" in (await http.get(job)).text
        assert (await http.post("/jobs", json={"plan": plan})).status_code == 409
    (first, last) = case.queries.recorded
    assert first[:2] == ("anna", "repair_begun")
    assert last[1:] == (
        "repair_ended",
        f"redrive {plan}, done: 7 acted, 0 refused, 0 ignored of 7",
        "fixed",
    )


async def _ended(http: httpx.AsyncClient, job: str) -> None:
    while "every 1s" in (await http.get(f"{job}/progress")).text:
        await asyncio.sleep(0)


async def test_who_may_only_look_has_no_button(case: Case) -> None:
    for who, is_operator in (("vera", False), ("otto", False), ("anna", True)):
        async with case.client(who) as http:
            listed = (await http.get("/failures")).text
            group = re.findall(r"/failures/([0-9a-f]{12})", listed)[0]
            text = (await http.get(f"/failures/{group}")).text
            assert ("Look ahead" in text) is is_operator


# What is live


async def test_changes_are_sent_from_where_the_browser_was() -> None:
    queries = SampleQueries()
    change = Change(50, ORDER_ID, "stock.reserved.v1", "inventory", AT)
    queries.changes = [Changes(50, (change,)), Changes(60, (), is_cut=True)]
    stopping = asyncio.Event()
    hub = Hub(queries.as_queries(), stopping)
    stream = hub.stream("41")
    assert await anext(stream) == b"retry: 2000\nid: 41\nevent: hello\ndata: {}\n\n"
    first = (await anext(stream)).decode()
    assert first == f'id: 50\nevent: changes\ndata: {{"orders":["{ORDER_ID}"],"all":false}}\n\n'
    assert '"all":true' in (await anext(stream)).decode()
    stopping.set()
    await stream.aclose()
    later = hub.stream("")
    assert b"id: 42" in await anext(later)
    await later.aclose()


async def test_nobody_who_looks_asks_nothing() -> None:
    queries = SampleQueries()
    hub = Hub(queries.as_queries(), asyncio.Event())
    stream = hub.stream("42")
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    queries.changes = [Changes(50, (Change(50, "o", "x", "order", AT),))]
    assert b"id: 50" in await asyncio.wait_for(waiting, 5)
    await stream.aclose()
    await asyncio.wait_for(hub.ended(), 5)
