"""What operators did is a line of the log, once it is in the store; the originals are not."""

from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from structlog.testing import capture_logs

from chassis import audit
from chassis.audit import EVENT, LoggedInspection
from chassis.bus import Committed
from chassis.decide import BatchResult, Snapshot
from chassis.errors import TransientError
from chassis.message import Decided, OperatorAction, Parked
from chassis.store import Inspection
from tests.support.records import a_message, captured

FOUND: Final = SimpleNamespace(row=SimpleNamespace(key="o-1"))


class Store:
    """Answers each change alike, and looks with nothing."""

    def __init__(self, answer: Any, error: Exception | None = None) -> None:
        self.answer, self.error = answer, error
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def ask(*_words: Any) -> Any:
            self.asked.append(name)
            if self.error is not None:
                raise self.error
            return self.answer

        return ask


CHANGES: Final[dict[str, tuple[Any, ...]]] = {
    "discard": ("o-1", "ada", "spoilt", ""),
    "release": ("7", "ada", "spoilt"),
    "drop": ("7", "ada", "spoilt"),
    "expedite": ("o-1", "ada"),
    "skip": ("payment.forward", 3, 9, "ada", "spoilt"),
}
LOOKS: Final[dict[str, tuple[Any, ...]]] = {
    "parked_keys": (),
    "dead_letters": ("o-1",),
    "whereabouts": ("o-1",),
    "refused": (10,),
    "actions": ("o-1",),
}


async def logged(store: Store, name: str, *words: Any) -> list[dict[str, Any]]:
    with capture_logs() as lines:
        await getattr(LoggedInspection(cast("Inspection", store)), name)(*words)
    assert store.asked == [name]
    return [dict(line) for line in lines]


@pytest.mark.parametrize("change", CHANGES)
async def test_each_change_is_a_line_with_who_what_and_why(change: str) -> None:
    (line,) = await logged(Store(FOUND), change, *CHANGES[change])
    key = "payment.forward:3:9" if change == "skip" else "o-1"
    note = "" if change == "expedite" else "spoilt"
    found = {name: line[name] for name in ("event", "by", "action", "key", "note")}
    assert found == {"event": EVENT, "by": "ada", "action": change, "key": key, "note": note}
    assert "detail" not in line


@pytest.mark.parametrize("change", sorted(CHANGES.keys() - {"skip"}))
async def test_what_changed_nothing_is_no_line(change: str) -> None:
    assert await logged(Store(0 if change == "expedite" else None), change, *CHANGES[change]) == []


@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_not_stored_is_no_line(change: str) -> None:
    store = Store(FOUND, TransientError("the store is away"))
    inspection = LoggedInspection(cast("Inspection", store))
    with capture_logs() as lines, pytest.raises(TransientError):
        await getattr(inspection, change)(*CHANGES[change])
    assert lines == []


@pytest.mark.parametrize("look", LOOKS)
async def test_a_look_is_no_line(look: str) -> None:
    assert await logged(Store([]), look, *LOOKS[look]) == []


def test_all_that_an_inspection_does_is_a_change_or_a_look() -> None:
    names = {name for name in vars(Inspection) if not name.startswith("_")}
    assert names == {*CHANGES, *LOOKS}


def test_what_an_operator_had_decided_is_told_when_it_is_committed() -> None:
    action = OperatorAction("ada", "redrive", "o-1", "mended", "the original")
    messages = [a_message(captured()) for _ in range(3)]
    messages[0].operator = messages[1].operator = action
    outcomes = [Decided((), None), Parked("again"), Decided((), None)]
    result = BatchResult(Snapshot(), outcomes=outcomes)  # type: ignore[arg-type]
    with capture_logs() as lines:
        audit.committed(Committed(messages, result))
    assert [(line["action"], line["note"]) for line in lines] == [("redrive", "mended")]


def test_the_same_action_twice_is_two_lines() -> None:
    with capture_logs() as lines:
        for _ in range(2):
            audit.log_action(OperatorAction("ada", "expedite", "o-1", ""))
    assert len({line["action_id"] for line in lines}) == 2
