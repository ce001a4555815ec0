"""`saga top`: the board as text, and as it is looked at in a terminal."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chassis.errors import TransientError
from console.terminal.app import Confirmation, Top
from console.terminal.board import FAILING, WAITING, Board
from console.terminal.command import quoted
from console.web.asking import ServiceDirectory
from console.web.filters import parse
from console.web.repairs import Repairs
from saga_cli.main import app
from tests.support.console_sample import AT, SampleQueries, SampleServices
from tests.support.waiting import until_async


@dataclass
class Case:
    queries: SampleQueries = field(
        default_factory=lambda: SampleQueries({"payment:Capture": 90, "shipping:DispatchDue": 7})
    )
    services: SampleServices = field(default_factory=SampleServices)
    away: str = ""

    def __post_init__(self) -> None:
        self.directory = ServiceDirectory(self.services.urls, self.services.transport)

    async def read(self) -> Board:
        if self.away:
            raise TransientError(self.away)
        return await Board.read(self.queries.as_queries(), self.directory, "anna", AT)

    def top(self) -> Top:
        return Top(self.read, Repairs(self.directory, self.queries.record), "anna", "anna", 0.05)


async def acted_on(case: Case, count: int) -> None:
    await until_async(lambda: len(case.services.acts) == count, 10, "the repairs")


async def test_the_board_says_where_orders_wait_since_when_and_who_must_act() -> None:
    board = await Case().read()
    assert board.waiting == [
        ("bank, asked by payment", "Capture", "90", "90 s", "0.0/s", "12 ms", "90 ms"),
        ("nobody: shipping waits", "DispatchDue", "7", "7 s", "0.0/s", "12 ms", "90 ms"),
    ]
    assert all(len(row) == len(WAITING) for row in board.waiting)
    assert board.summary.startswith("97 in flight, the oldest for 7 min  |  97 pending")
    assert "! 7 parked" in board.summary
    assert board.summary.count("! circuit open: bank of payment") == 1


async def test_the_board_has_a_row_for_each_group_of_failures() -> None:
    board = await Case().read()
    parked = next(row for row in board.failing if row[1] == "parked")
    assert parked[:3] == ("payment", "parked", "stock.reserved")
    assert parked[4] == "7"
    assert len(parked) == len(FAILING)
    assert len(board.failing) == len(board.failures.groups)


async def test_a_service_that_does_not_answer_is_named() -> None:
    case = Case()
    case.services.silent.add("payment")
    summary = (await case.read()).summary
    assert "! no answer: payment" in summary
    assert "! failures unknown: payment does not answer" in summary


async def test_a_group_is_repaired_once_that_is_confirmed() -> None:
    case = Case()
    top = case.top()
    async with top.run_test() as pilot:
        groups = (await case.read()).failures.groups
        row = next(n for n, group in enumerate(groups) if group.newest.kind == "parked")
        top.failing.move_cursor(row=row)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(top.screen, Confirmation)
        assert top.screen.question.startswith("Redrive 7 of payment: no such field: order ")
        assert case.services.acts == []
        await pilot.press("y")
        await acted_on(case, 7)
        await until_async(lambda: "done: 7 acted" in str(top.repaired.render()), 10, "its end")
    paths = {(service, path) for service, path, _ in case.services.acts}
    assert paths == {("payment", "/ops/dead-letters/redrive")}
    recorded = [(by, action) for by, action, _, _ in case.queries.recorded]
    assert recorded == [("anna", "repair_begun"), ("anna", "repair_ended")]


@pytest.mark.parametrize("key", ["n", "escape", "enter"])
async def test_what_is_not_confirmed_is_left(key: str) -> None:
    case = Case()
    top = case.top()
    async with top.run_test() as pilot:
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press(key)
        await pilot.pause()
        assert not isinstance(top.screen, Confirmation)
        assert top.repair is None
    assert case.services.acts == []


async def test_a_repair_that_is_not_recorded_is_not_begun() -> None:
    case = Case()

    async def away(*_: str) -> None:
        raise TransientError("gone")

    top = Top(case.read, Repairs(case.directory, away), "anna", "anna", 60)
    async with top.run_test() as pilot:
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("y")
        await until_async(lambda: "is not recorded: gone" in str(top.repaired.render()), 10, "why")
    assert top.repair is None
    assert case.services.acts == []


async def test_a_database_that_is_away_is_said_and_read_again() -> None:
    case = Case(away="the console's database does not answer: [gone]")
    top = case.top()
    async with top.run_test():
        assert str(top.summary.render()) == "! the console's database does not answer: [gone]"
        case.away = ""
        await until_async(lambda: "in flight" in str(top.summary.render()), 10, "the board")
        assert top.waiting.row_count == 2


async def test_what_looks_like_markup_is_shown_as_it_is() -> None:
    case = Case()
    for head in case.services.heads["payment"]:
        head["last_error"] = "[red]no[/red] \x1b[2J"
    top = case.top()
    async with top.run_test():
        table = top.failing
        shown = [str(cell) for row in range(table.row_count) for cell in table.get_row_at(row)]
        assert "[red]no[/red] \\x1b[2J" in shown


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("state:pending", "state:pending"),
        ("reason:no stock", 'reason:"no stock"'),
        ('reason:"no stock"', 'reason:"no stock"'),
        ("01a2", "01a2"),
    ],
)
def test_a_word_of_a_filter_is_quoted_again_where_the_shell_has_taken_that_away(
    word: str, expected: str
) -> None:
    assert quoted(word) == expected
    parse(expected)


def test_orders_without_a_stack_or_with_a_filter_that_is_none_end_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, ["orders"])
    assert ended.exit_code == 2
    assert "no stack runs in this folder" in ended.stderr
    ended = CliRunner().invoke(app, ["orders", "colour:red"])
    assert ended.exit_code == 2
    assert "colour" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
