"""The board in a terminal that is looked at: it reads again by itself, and repairs a group that is chosen."""

from collections.abc import Awaitable, Callable
from typing import ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Label, Static

from chassis.errors import TransientError
from console.terminal.board import FAILING, WAITING, Board, BoardRow
from console.web.failures import FailureGroup
from console.web.repairs import Repair, RepairPlan, Repairs, RepairTerms
from saga_cli.terminal import plain

NOTE: Final = "saga top"


class Confirmation(ModalScreen[bool]):
    """Says what will be done; y does it, any other key does not."""

    DEFAULT_CSS = """
    Confirmation { align: center middle; }
    Confirmation > Vertical { width: 72; height: auto; border: thick $warning; padding: 1 2; }
    """

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question = question

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Label(self.question, markup=False)
            yield Label("y: do it    any other key: leave it", markup=False)

    def on_key(self, event: Key) -> None:
        event.stop()
        event.prevent_default()
        self.dismiss(event.key == "y")


class Top(App[None]):
    """`read` gives the board. Raises TransientError, as `repairs` do."""

    TITLE = "saga top"
    DEFAULT_CSS = """
    #summary, #repair { height: auto; padding: 0 1; }
    #repair { color: $warning; }
    .heading { padding: 1 1 0 1; text-style: bold; }
    DataTable { height: auto; max-height: 45%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "Quit"),
        ("r", "refresh", "Read again"),
        ("tab", "app.focus_next", "Other table"),
        ("s", "stop", "Stop the repair"),
    ]

    def __init__(
        self,
        read: Callable[[], Awaitable[Board]],
        repairs: Repairs,
        who: str,
        token: str,
        every_s: float,
    ) -> None:
        super().__init__()
        self.read, self.repairs = read, repairs
        self.who, self.token, self.every_s = who, token, every_s
        self.board: Board | None = None
        self.repair: Repair | None = None

        self.summary = Static("reading ...", id="summary", markup=False)
        self.waiting = DataTable[Text](id="waiting", cursor_type="row")
        self.failing = DataTable[Text](id="failing", cursor_type="row")
        self.repaired = Static("", id="repair", markup=False)

    def compose(self) -> ComposeResult:
        yield self.summary
        yield Label("Where orders wait, and who must act", classes="heading")
        yield self.waiting
        yield Label("What fails; Enter repairs a group", classes="heading")
        yield self.failing
        yield self.repaired
        yield Footer()

    async def on_mount(self) -> None:
        self.waiting.add_columns(*WAITING)
        self.failing.add_columns(*FAILING)
        self.failing.focus()
        await self.action_refresh()
        self.set_interval(self.every_s, self.action_refresh)

    async def action_refresh(self) -> None:
        try:
            self.board = await self.read()
        except TransientError as error:
            self.summary.update(f"! {plain(str(error))}")
        else:
            self.summary.update(plain(self.board.summary))
            _fill(self.waiting, self.board.waiting)
            _fill(self.failing, self.board.failing)
        if self.repair is not None:
            self._show(self.repair)

    def on_data_table_row_selected(self) -> None:
        """Ask, and repair the failures that the chosen group has now, whatever fails later."""
        group = self._chosen()
        if group is None or (self.repair is not None and not self.repair.is_over):
            return
        action = group.actions[0]
        plan = self.repairs.plan(action, NOTE, self.who, group.failures)
        count = len(plan.failures)
        question = (
            f"{action.capitalize()} {count:,} of {group.newest.service}: {group.newest.error}?"
        )

        async def decided(answer: bool | None) -> None:  # noqa: FBT001 - how Textual gives it
            if answer:
                await self._begin(plan)

        self.push_screen(Confirmation(plain(question)), decided)

    async def action_stop(self) -> None:
        """What the repair has done stands."""
        if self.repair is None or self.repair.is_over:
            return
        try:
            await self.repairs.steer(self.repair, "stop", self.who)
        except TransientError as error:
            self.repaired.update(f"! the stop is not recorded: {plain(str(error))}")

    def _chosen(self) -> FailureGroup | None:
        groups = self.board.failures.groups if self.board else ()
        row = self.failing.cursor_row
        return groups[row] if self.failing.has_focus and row < len(groups) else None

    async def _begin(self, plan: RepairPlan) -> None:
        try:
            self.repair = await self.repairs.start(plan.id, RepairTerms(), self.who, self.token)
        except TransientError as error:
            self.repaired.update(f"! not begun, as it is not recorded: {plain(str(error))}")

    def _show(self, repair: Repair) -> None:
        text = f"{repair.plan.action}: {repair.summary}"
        if repair.unrecorded:
            text += f", which is not recorded: {plain(repair.unrecorded)}"
        self.repaired.update(text)


def _fill(table: DataTable[Text], rows: list[BoardRow]) -> None:
    """With the cursor where it was."""
    place = table.cursor_row
    table.clear()
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    if rows:
        table.move_cursor(row=min(place, len(rows) - 1))
