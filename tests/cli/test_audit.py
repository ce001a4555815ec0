"""`saga audit`: lines of the services' logs, and nothing else of them."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from saga_cli.ops import audit
from saga_cli.ops.audit import actions
from saga_cli.stack import state
from saga_cli.stack.state import Running
from tests.support.saga import saga


def line(event: str, at: str, **fields: str) -> str:
    return json.dumps({"event": event, "timestamp": at, "level": "info", **fields})


def test_other_lines_are_passed_over() -> None:
    written = line(
        "operator_action", "2026-01-31T12:00:00Z", by="ada", action="skip", service="order"
    )
    about = line("parked", "2026-01-31T12:00:01Z", why="operator_action")
    assert list(actions(["operator_action", about, '"operator_action"', written])) == [
        {"timestamp": "2026-01-31T12:00:00Z", "service": "order", "by": "ada", "action": "skip"}
    ]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def running(name: str) -> Running:
        return Running(name, 1, 0.0, "", str(tmp_path / f"{name}.log"))

    processes = tuple(map(running, ("order-1", "payment-1", "payment-2", "kafka")))
    found: Any = type("Found", (), {"processes": processes})
    monkeypatch.setattr(state, "found", lambda: found)
    for name, at in (("order-1", 2), ("payment-1", 3), ("payment-2", 1)):
        text = line("operator_action", f"2026-01-31T12:00:0{at}Z", key=name)
        (tmp_path / f"{name}.log").write_text(f"{text}\n{line('started', '2026')}\n")
    return tmp_path


@pytest.mark.usefixtures("stack")
def test_all_services_are_told_of_in_the_order_of_time() -> None:
    ended = saga("audit")
    keys = [json.loads(each)["key"] for each in ended.out.splitlines()]
    assert (ended.code, keys) == (0, ["payment-2", "order-1", "payment-1"])
    assert len(saga("audit", "payment").out.splitlines()) == 2


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_follows_sees_what_is_there_and_ends_it_without_a_failure(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def shown(action: dict[str, Any]) -> None:
        seen.append(action["key"])
        if len(seen) == len(("order-1", "payment-1", "payment-2")):
            signal.raise_signal(number)

    monkeypatch.setattr(audit, "_print", shown)
    ended = saga("audit", "--follow")
    assert (ended.code, ended.err) == (0, "")
    assert sorted(seen) == ["order-1", "payment-1", "payment-2"]


@pytest.mark.usefixtures("stack")
def test_a_log_is_that_of_all_instances() -> None:
    assert saga("logs", "payment").out.count("operator_action") == len(("payment-1", "payment-2"))


def test_without_a_stack_it_is_said_what_to_collect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = saga("audit")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert "`operator_action`" in ended.err
    assert saga("audit", "nobody").code == 2
