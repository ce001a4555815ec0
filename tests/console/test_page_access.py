"""Who may see and do what on the console's pages, and how one signs in."""

import re
from collections.abc import AsyncIterator
from typing import Final

import httpx
import pytest

from chassis.http import GuardedRoute
from console.web.app import make_console
from console.web.login_pages import local
from tests.support.callers import open_gate
from tests.support.console_case import CALLERS, HTML, ConsoleCase, nothing_fails, refusal_of
from tests.support.console_sample import (
    ORDER_ID,
    SampleQueries,
    SampleServices,
)

LOOKERS: Final = {"vera", "anna", "otto"}
PAGES: Final = (
    "/",
    "/map",
    "/orders",
    "/orders.csv",
    f"/orders/{ORDER_ID}",
    "/process",
    "/failures",
    "/services",
)
READ_BY: Final = {"operate", "audit", "view"}


@pytest.fixture
async def case() -> AsyncIterator[ConsoleCase]:
    made = ConsoleCase()
    yield made
    await made.app.state.console.close()


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("who", CALLERS)
async def test_a_page_is_for_whom_may_look(case: ConsoleCase, who: str, path: str) -> None:
    async with case.client(who) as http:
        answer = await http.get(path)
    if who in LOOKERS:
        assert answer.status_code == 200
    else:
        assert refusal_of(answer) == (403, "insufficient_scope")


@pytest.mark.parametrize("path", [*PAGES, "/live", f"/orders/{ORDER_ID}/services"])
async def test_without_a_token_one_is_sent_to_sign_in_and_comes_back(
    case: ConsoleCase, path: str
) -> None:
    async with case.client("nobody") as http:
        answer = await http.get(path)
        assert answer.status_code == 303
        assert answer.headers["Location"] == f"/login?after={path}"
        part = await http.get(path, headers={"HX-Request": "true"})
        assert part.headers["HX-Redirect"] == "/login"
        plain = await http.get(path, headers={"Accept": "application/json"})
        assert (plain.status_code, plain.json()["code"]) == (401, "invalid_token")


def test_each_route_says_who_may_use_it(case: ConsoleCase) -> None:
    routes = [route for route in case.app.routes if isinstance(route, GuardedRoute)]
    changing = {
        *("/failures/{group}/plan", "/failures/{group}/note", "/jobs", "/jobs/{job_id}"),
        "/orders/{order_id}/repair",
    }
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


async def test_signing_in_keeps_the_token_where_no_script_reads_it(case: ConsoleCase) -> None:
    async with case.client("") as http:
        http.headers.pop("cookie")
        answer = await http.post("/login", json={"token": " anna ", "after": "/orders"})
        assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/orders")
        cookie = answer.headers["Set-Cookie"]
        assert "console_session=anna" in cookie
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
        assert (await http.get("/orders")).status_code == 200
        gone = await http.post("/logout", headers={"HX-Request": "true"})
        assert gone.headers["HX-Redirect"] == "/login"
        assert (await http.get("/orders")).status_code == 303


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [("nobody", 401, "invalid_token"), ("carl", 403, "insufficient_scope")],
)
async def test_a_token_that_counts_for_nothing_is_not_kept(
    case: ConsoleCase, token: str, status: int, code: str
) -> None:
    async with case.client("") as http:
        answer = await http.post("/login", json={"token": token})
    assert refusal_of(answer) == (status, code)
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


async def test_another_site_can_change_nothing(case: ConsoleCase) -> None:
    """Its form would bring the cookie if a browser sent it, and not the header of the console's pages."""
    async with case.client() as http:
        for path in ("/jobs", "/failures/0123456789ab/plan", "/logout"):
            answer = await http.post(path, json={"plan": ORDER_ID})
            assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
        form = await http.post("/jobs", data={"plan": ORDER_ID}, headers={"HX-Request": "true"})
        assert refusal_of(form) == (415, "unsupported_media_type")
    assert case.services.acts == []


async def test_nothing_from_elsewhere_runs_in_a_page(case: ConsoleCase) -> None:
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
        assert refusal_of(await http.get("/static/..%2fapp.py")) == (404, "not_found")
