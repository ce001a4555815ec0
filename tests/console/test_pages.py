"""The console's pages over sample values: what they show, and what they hide."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import httpx
import pytest

from chassis.errors import TransientError
from console.model import OrderDetail
from console.web import orders_pages
from tests.support.console_case import ConsoleCase, refusal_of
from tests.support.console_sample import (
    AT,
    CUSTOMER,
    ORDER_ID,
    a_detail,
    a_head,
    an_order,
)

REFUSALS: Final = {
    "/nowhere": (404, "not_found"),
    "/orders/unknown": (404, "not_found"),
    "/?x=1": (400, "unknown_parameter"),
}


@pytest.fixture
async def case() -> AsyncIterator[ConsoleCase]:
    made = ConsoleCase()
    yield made
    await made.app.state.console.close()


async def test_a_filter_that_is_none_says_why_and_lists_nothing(case: ConsoleCase) -> None:
    async with case.client() as http:
        answer = await http.get("/orders", params={"filter": "colour:red <b>"})
    assert refusal_of(answer) == (422, "no_filter")
    assert "there is no &#39;colour&#39;" in answer.text
    assert "<b>" not in answer.text.partition("<main")[2].replace("<b>That is no filter", "")
    assert case.queries.asked == []


async def test_the_list_is_paged_and_a_page_that_is_none_is_refused(case: ConsoleCase) -> None:
    async with case.client() as http:
        first = await http.get("/orders", params={"filter": "state:pending"})
        assert "/orders?filter=state%3Apending&amp;cursor=second" in first.text
        assert "10,000+ orders" in first.text
        second = await http.get("/orders", params={"filter": "state:pending", "cursor": "second"})
        assert "cursor=" not in second.text
        lost = await http.get("/orders", params={"cursor": "mine"})
        assert refusal_of(lost) == (400, "no_cursor")


async def test_retried_orders_are_those_that_the_services_name(case: ConsoleCase) -> None:
    async with case.client() as http:
        await http.get("/orders", params={"filter": "retrying:yes"})
    assert case.queries.asked[-1].ids == frozenset(row.id for row in case.queries.rows)


async def test_who_may_not_ask_the_services_is_told_so_and_not_that_nothing_is_retried(
    case: ConsoleCase,
) -> None:
    case.services.silent = {"payment"}
    async with case.client() as http:
        answer = await http.get("/orders", params={"filter": "retrying:yes"})
    assert refusal_of(answer) == (422, "no_filter")
    assert "payment does not say whose call is tried again" in answer.text


async def test_the_list_as_csv_is_of_all_pages_and_holds_no_formula(
    case: ConsoleCase, monkeypatch: pytest.MonkeyPatch
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
async def test_the_box_finds_things(case: ConsoleCase, asked: str, leads_to: str) -> None:
    async with case.client() as http:
        answer = await http.get("/find", params={"q": f" {asked} "})
        assert (answer.status_code, answer.headers["Location"]) == (303, leads_to)
        unknown = await http.get("/find", params={"q": "<i>?"})
        assert "Nothing in the log has the id" in unknown.text
        assert "<i>" not in unknown.text


# An order


async def test_an_order_shows_no_personal_data(case: ConsoleCase) -> None:
    async with case.client() as http:
        text = (await http.get(f"/orders/{ORDER_ID}")).text
    assert "•••" in text
    assert "10115" not in text
    assert "tok_visa" not in text
    assert "Show personal data" not in text


async def test_an_auditor_sees_personal_data_with_a_reason_that_is_recorded_first(
    case: ConsoleCase,
) -> None:
    path = f"/orders/{ORDER_ID}/reveal"
    async with case.client("otto", **{"HX-Request": "true"}) as http:
        assert "Show personal data" in (await http.get(f"/orders/{ORDER_ID}")).text
        short = await http.post(path, json={"reason": "no"})
        assert refusal_of(short) == (422, "invalid_request")
        assert case.queries.recorded == []
        shown = await http.post(path, json={"reason": "parcel was sent back"})
        assert "10115" in shown.text
        assert "tok_visa" not in shown.text
    assert case.queries.recorded == [("otto", "reveal", ORDER_ID, "parcel was sent back")]
    async with case.client("anna", **{"HX-Request": "true"}) as http:
        refused = await http.post(path, json={"reason": "curious"})
        assert refusal_of(refused) == (403, "insufficient_scope")


async def test_what_services_say_is_asked_with_the_viewers_own_token_and_silence_is_shown(
    case: ConsoleCase,
) -> None:
    case.services.silent = {"loyalty"}
    async with case.client() as http:
        text = (await http.get(f"/orders/{ORDER_ID}/services")).text
    assert "the bank answered 503" in text
    assert "does not answer" in text


async def test_an_order_leads_to_its_traces_where_a_viewer_is_known(
    case: ConsoleCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    detail = a_detail()
    ids = ["a" * 32, "a" * 32, "", "b" * 32, *[""] * 4]
    events = [replace(e, trace_id=t) for e, t in zip(detail.events, ids, strict=True)]

    async def traced(_: str) -> OrderDetail:
        return replace(detail, events=tuple(events))

    monkeypatch.setattr(case.queries, "order", traced)
    links = r'href="https://viewer.example.com/trace/(\w+)" rel="noreferrer">\1<'
    async with case.client() as http:
        text = (await http.get(f"/orders/{ORDER_ID}")).text
        assert re.findall(links, text) == ["a" * 32, "b" * 32]
        assert "events 1, 2<" in text
        case.app.state.console.trace_url = ""
        plain = (await http.get(f"/orders/{ORDER_ID}")).text
    assert re.findall(links, plain) == []
    assert f"<code>{'b' * 32}</code>" in plain


async def test_two_orders_side_by_side(case: ConsoleCase) -> None:
    async with case.client() as http:
        answer = await http.get("/compare", params={"a": ORDER_ID, "b": ORDER_ID})
        assert answer.text.count(f'href="/orders/{ORDER_ID}"') == 2
        unknown = await http.get("/compare", params={"a": ORDER_ID, "b": "x"})
        assert refusal_of(unknown) == (404, "not_found")


# The map and errors


async def test_the_map_of_the_past_asks_no_service(case: ConsoleCase) -> None:
    case.services.silent = {"payment"}
    async with case.client() as http:
        now = (await http.get("/")).text
        past = (await http.get("/", params={"at": AT.isoformat()})).text
        never = await http.get("/", params={"at": "long ago"})
        assert refusal_of(never) == (422, "no_instant")
    assert "payment does not answer" in now
    assert "payment does not answer" not in past
    assert "Where orders stood" in past


async def test_kafka_away_is_said_on_the_map(case: ConsoleCase) -> None:
    case.queries.why = "Kafka does not answer"
    async with case.client() as http:
        text = (await http.get("/")).text
    assert "The console does not read the log" in text


async def test_an_error_is_a_page_with_its_status(
    case: ConsoleCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with case.client() as http:
        for path, refusal in REFUSALS.items():
            answer = await http.get(path)
            assert refusal_of(answer) == refusal
            assert "<main" in answer.text

        async def away() -> None:
            raise TransientError("the database is away")

        monkeypatch.setattr(case.queries, "standing", away)
        answer = await http.get("/")
        assert refusal_of(answer) == (503, "unavailable")
        assert "database does not answer" in answer.text


# Repairs


async def test_a_group_is_repaired_from_its_page_and_both_are_recorded(case: ConsoleCase) -> None:
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
        again = await http.post("/jobs", json={"plan": plan})
        assert refusal_of(again) == (409, "no_plan")
    (first, last) = case.queries.recorded
    assert first[:2] == ("anna", "repair_begun")
    assert last[1:] == (
        "repair_ended",
        f"redrive {plan}, done: 7 acted, 0 refused, 0 ignored of 7",
        "fixed",
    )


async def _groups(http: httpx.AsyncClient) -> dict[str, str]:
    """By the usual repair of each."""
    ids = re.findall(r"/failures/([0-9a-f]{12})", (await http.get("/failures")).text)
    pages = {id_: (await http.get(f"/failures/{id_}")).text for id_ in ids}
    return {re.findall(r'<option value="(\w+)"', text)[0]: id_ for id_, text in pages.items()}


async def test_calls_of_a_group_are_resolved_as_the_confirmation_says(case: ConsoleCase) -> None:
    async with case.client("anna", **{"HX-Request": "true"}) as http:
        group = (await _groups(http))["expedite"]
        plan_at = f"/failures/{group}/plan"
        asked = {"action": "resolve", "note": "seen at the bank"}
        planned = (await http.post(plan_at, json=asked)).text
        assert re.findall(r"<option>(\w+)</option>", planned) == ["declined"]
        assert 'name="reference"' not in planned
        plan = re.findall(r'name="plan" value="([^"]+)"', planned)[0]
        for terms in ({}, {"outcome": "captured", "reference": "re_1"}):
            refused = await http.post("/jobs", json={"plan": plan, **terms})
            assert refusal_of(refused) == (422, "no_outcome")
        assert case.services.acts == []
        begun = await http.post("/jobs", json={"plan": plan, "outcome": "declined", "rate": "500"})
        await asyncio.wait_for(_ended(http, begun.headers["HX-Redirect"]), 30)
        one = await http.post(plan_at, json={**asked, "keys": [case.queries.rows[0].id]})
        assert 'name="reference"' in one.text
    paths = {(service, path, body["outcome"]) for service, path, body in case.services.acts}
    assert paths == {("payment", "/ops/resolve", "declined")}
    assert len(case.services.acts) == len(case.queries.rows)


async def test_a_note_on_a_group_is_recorded_and_shown_with_who_wrote_it(case: ConsoleCase) -> None:
    async with case.client("anna", **{"HX-Request": "true"}) as http:
        group = (await _groups(http))["redrive"]
        noted = await http.post(f"/failures/{group}/note", json={"text": "<b>PAY-17</b> is open"})
        assert "&lt;b&gt;PAY-17&lt;/b&gt; is open" in noted.text
        for path in ("/failures", f"/failures/{group}"):
            shown = (await http.get(path)).text
            assert "&lt;b&gt;PAY-17&lt;/b&gt; is open" in shown
            assert "anna" in shown
        gone = await http.post("/failures/0123456789ab/note", json={"text": "x"})
        assert refusal_of(gone) == (404, "not_found")
        await http.post(f"/failures/{group}/note", json={"text": ""})
        assert "PAY-17" not in (await http.get(f"/failures/{group}")).text
    detail = f"group {group}: payment, stock.reserved.v1"
    texts = ("<b>PAY-17</b> is open", "")
    assert case.queries.recorded == [("anna", "note", detail, text) for text in texts]


async def _ended(http: httpx.AsyncClient, job: str) -> None:
    while "every 1s" in (await http.get(f"{job}/progress")).text:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("asked", "path", "sent"),
    [
        ({"action": "expedite"}, "/ops/expedite", {}),
        (
            {"action": "resolve", "outcome": "captured", "note": "seen", "reference": "r1"},
            "/ops/resolve",
            {"outcome": "captured", "note": "seen", "reference": "r1"},
        ),
        ({"action": "redrive", "note": "ok"}, "/ops/dead-letters/redrive", {"note": "ok"}),
    ],
)
async def test_one_order_is_repaired_by_its_services_own_route(
    case: ConsoleCase, asked: dict[str, str], path: str, sent: dict[str, str]
) -> None:
    case.services.heads["payment"].append(a_head(0, "wrong", key=ORDER_ID))
    async with case.client("anna", **{"HX-Request": "true"}) as http:
        offered = (await http.get(f"/orders/{ORDER_ID}/services")).text
        assert f'name="action" value="{asked["action"]}"' in offered
        answer = await http.post(f"/orders/{ORDER_ID}/repair", json={"service": "payment", **asked})
        assert f"asked to {asked['action']}" in answer.text
    assert case.services.acts == [("payment", path, {"key": ORDER_ID, **sent})]
    assert case.queries.recorded[0][:2] == ("anna", asked["action"])


async def test_what_a_service_refuses_is_said_as_it_says_it(case: ConsoleCase) -> None:
    asked = {"service": "payment", "action": "redrive", "note": "ok"}
    async with case.client("anna", **{"HX-Request": "true"}) as http:
        answer = await http.post(f"/orders/{ORDER_ID}/repair", json=asked)
        assert refusal_of(answer) == (404, "not_done")
        assert "nothing is parked under" in answer.text
        case.services.silent = {"payment"}
        away = await http.post(f"/orders/{ORDER_ID}/repair", json=asked)
        assert refusal_of(away) == (503, "not_done")
        nobody = await http.post(f"/orders/{ORDER_ID}/repair", json={**asked, "service": "bank"})
        assert refusal_of(nobody) == (422, "no_service")


async def test_who_may_only_look_has_no_button(case: ConsoleCase) -> None:
    for who, is_operator in (("vera", False), ("otto", False), ("anna", True)):
        async with case.client(who) as http:
            listed = (await http.get("/failures")).text
            group = re.findall(r"/failures/([0-9a-f]{12})", listed)[0]
            text = (await http.get(f"/failures/{group}")).text
            assert ("Look ahead" in text) is is_operator


async def test_the_process_shows_variants_and_what_nobody_declared(case: ConsoleCase) -> None:
    async with case.client() as http:
        answer = await http.get("/process", params={"filter": "state:pending"})
        wrong = await http.get("/process", params={"filter": "colour:red"})
    assert answer.status_code == 200
    assert [wanted.states for wanted in case.queries.asked] == [frozenset({"Pending"})]
    shares = re.findall(r'data-label="Share"><span class="nowrap">([\d.]+) %', answer.text)
    assert shares == ["66.7", "33.3"]
    assert f'href="/orders/{ORDER_ID[:-1]}0"' in answer.text
    assert "<b>1 undeclared:</b>" in answer.text
    first = answer.text.partition('id="edges"')[2].partition("<tbody>")[2].partition("</tr>")[0]
    assert "Undeclared" in first
    assert refusal_of(wrong) == (422, "no_filter")
