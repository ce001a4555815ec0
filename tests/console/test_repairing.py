"""`saga failures`: groups and their repair from a terminal, as the console's pages have them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from console.terminal import repairing
from console.web.asking import ServiceDirectory
from saga_cli.ops.ops_client import Directory
from tests.support.console_case import ConsoleCase, refusal_of
from tests.support.console_sample import SampleQueries, SampleServices
from tests.support.saga import Ended, saga


class RepairCase:
    def __init__(self) -> None:
        self.queries, self.services = SampleQueries(), SampleServices()

    @asynccontextmanager
    async def opened(self, _found: Any) -> AsyncIterator[tuple[Any, ServiceDirectory]]:
        yield (
            self.queries.as_queries(),
            ServiceDirectory(self.services.urls, self.services.transport),
        )

    def group(self) -> str:
        (found,) = json.loads(saga("failures", "list", "--json").out)
        return str(found["group"])

    def repair(self, *words: str) -> Ended:
        return saga("failures", "repair", self.group(), *words, "--rate", "500")


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> RepairCase:
    made = RepairCase()
    monkeypatch.setattr(repairing, "opened", made.opened)
    monkeypatch.setattr(Directory, "found", lambda *_: SimpleNamespace(token="anna"))
    return made


def test_groups_are_listed_with_what_fails_why_and_since_when(case: RepairCase) -> None:
    ended = saga("failures", "list")
    assert ended.code == 0
    for word in (case.group(), "payment", "parked", "stock.reserved", "no such field", "7"):
        assert word in ended.out
    case.services.heads.clear()
    assert saga("failures", "list").out == "Nothing is parked, and no call is tried again.\n"
    case.services.silent = {"payment"}
    silent = saga("failures", "list")
    assert (silent.code, silent.err) == (1, "saga: payment does not answer\n")


def test_a_look_ahead_changes_nothing(case: RepairCase) -> None:
    ended = case.repair("--dry-run")
    assert ended.code == 0
    assert "redrive 7 orders of payment, stock.reserved: no such field" in ended.out
    assert "of the first 7, tried without an effect:\n  7 goes on" in ended.out
    assert case.services.acts == []
    assert case.queries.recorded == []


def test_a_group_is_redriven_with_a_note_and_is_recorded(case: RepairCase) -> None:
    without = case.repair()
    assert (without.code, "--note" in without.err) == (2, True)
    assert case.services.acts == []
    ended = case.repair("--note", "fixed in 1.4.2")
    assert ended.code == 0
    assert "redrive: done: 7 acted, 0 refused, 0 ignored of 7" in ended.out
    assert {body["note"] for _, _, body in case.services.acts} == {"fixed in 1.4.2"}
    recorded = [(action, note) for _, action, _, note in case.queries.recorded]
    assert recorded == [("repair_begun", "fixed in 1.4.2"), ("repair_ended", "fixed in 1.4.2")]


def test_what_is_refused_is_said_and_ends_it_with_1(case: RepairCase) -> None:
    case.services.refused = {case.services.heads["payment"][0]["key"]}
    ended = case.repair("--note", "fixed")
    assert ended.code == 1
    assert "done: 6 acted, 1 refused, 0 ignored of 7" in ended.out
    assert "1 refused: parked again: still wrong" in ended.out


def test_a_filter_leaves_out_orders_that_do_not_meet_it(case: RepairCase) -> None:
    case.queries.rows = case.queries.rows[1:4]
    ended = case.repair("customer:c_1", "older:5m", "--note", "fixed")
    assert (ended.code, "3 acted" in ended.out) == (0, True)
    keys = frozenset(head["key"] for head in case.services.heads["payment"])
    assert len(case.services.acts) == 3
    asked = case.queries.asked[0]
    assert asked.customers == frozenset({"c_1"})
    assert asked.ids is not None
    assert asked.ids > keys
    case.queries.rows = ()
    nobody = case.repair("customer:c_1", "--note", "fixed")
    assert (nobody.code, "none of its orders meets the filter" in nobody.err) == (1, True)
    assert case.repair("colour:red", "--note", "fixed").code == 2


def test_a_discard_is_confirmed_and_what_fits_no_group_is_refused(case: RepairCase) -> None:
    assert case.repair("--do", "discard", "--note", "sent by a test").code == 2
    assert case.repair("--do", "expedite", "--note", "x").code == 2
    assert saga("failures", "repair", "nothing", "--note", "x").code == 1
    assert case.services.acts == []
    ended = case.repair("--do", "discard", "--note", "sent by a test", "--yes")
    assert (ended.code, "discard: done: 7 acted" in ended.out) == (0, True)


async def test_the_page_of_a_group_takes_the_same_filter() -> None:
    made = ConsoleCase()
    made.queries.rows = made.queries.rows[1:3]
    async with made.client() as http:
        page = await http.get("/failures")
        group = page.text.partition('href="/failures/')[2][:12]
        asked = {"action": "redrive", "note": "fixed", "filter": "customer:c_1"}
        path, part = f"/failures/{group}/plan", {"HX-Request": "true"}
        planned = await http.post(path, json=asked, headers=part)
        wrong = await http.post(path, json={**asked, "filter": "colour:red"}, headers=part)
    await made.app.state.console.close()
    assert "Redrive 2 orders of payment?" in planned.text
    assert refusal_of(wrong) == (422, "no_filter")
    assert "That is no filter" in wrong.text
