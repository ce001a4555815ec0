"""A line that comes again and again is counted, and nothing that is said of another thing is lost."""

import json
import subprocess
import sys
from typing import Any, Final

import pytest
import structlog

from chassis import clock
from chassis.process.repeats import KINDS_MAX, WINDOW_S, Repeats

Lines = list[dict[str, Any]]


class WrittenLines:
    """What is written of what is logged, by a clock that a test moves."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.lines: Lines = []
        self.repeats = Repeats(self.lines.append)  # type: ignore[arg-type]
        self.at = 100.0
        patch.setattr(clock, "monotonic", lambda: self.at)

    def say(self, event: str, **fields: Any) -> None:
        try:
            self.lines.append(dict(self.repeats(None, "warning", {"event": event} | fields)))
        except structlog.DropEvent:
            return

    @property
    def counted(self) -> int:
        return sum(1 + line.get("repeated", 0) for line in self.lines)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> WrittenLines:
    return WrittenLines(monkeypatch)


def test_an_outage_of_23_seconds_is_told_in_tens_of_lines_not_in_thousands(
    log: WrittenLines,
) -> None:
    for turn in range(15_000):
        log.at = 100.0 + 23.0 * turn / 15_000
        error = f"Connect call failed ('127.0.0.1', {40_000 + turn % 900})"
        log.say(
            ["relay_failed", "consumer_rebuilt", "kafka_away"][turn % 3], error=error, tries=turn
        )
    log.repeats.flush(all_=True)
    assert len(log.lines) < 20
    assert log.counted == 15_000


def test_the_first_is_told_at_once_and_the_count_when_its_time_is_over(log: WrittenLines) -> None:
    for tries in range(1, 6):
        log.say("batch_retried", error="away", tries=tries)
    assert log.lines == [{"event": "batch_retried", "error": "away", "tries": 1}]
    log.repeats.flush()
    assert len(log.lines) == 1
    log.at += WINDOW_S
    log.repeats.flush()
    assert log.lines[1:] == [{"event": "batch_retried", "error": "away", "tries": 5, "repeated": 3}]
    log.repeats.flush(all_=True)
    assert len(log.lines) == 2


def test_after_its_time_the_line_itself_brings_the_count(log: WrittenLines) -> None:
    for _ in range(4):
        log.say("batch_retried", error="away")
    log.at += WINDOW_S
    log.say("batch_retried", error="away")
    assert [line.get("repeated") for line in log.lines] == [None, 3]


@pytest.mark.parametrize(
    "other",
    [
        {"saga_id": "o-2"},
        {"effect": "o-1:refund:1"},
        {"error": "another error"},
        {"level": "error"},
        {"topic": "payment.events"},
        {"partition": 2},
        {"offset": 8},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_is_said_of_another_order_place_or_error_is_another_line(
    log: WrittenLines, other: dict[str, Any]
) -> None:
    line: dict[str, Any] = {
        "saga_id": "o-1",
        "effect": "o-1:capture:1",
        "error": "a",
        "level": "warning",
    }
    line |= {"topic": "order.events", "partition": 1, "offset": 7}
    log.say("message_parked", **line)
    log.say("message_parked", **(line | other))
    assert len(log.lines) == 2


def test_no_more_kinds_are_remembered_than_so_many_and_none_of_their_counts_is_lost(
    log: WrittenLines,
) -> None:
    for number in range(3 * KINDS_MAX):
        for _ in range(3):
            log.say("message_parked", saga_id=f"o-{number}")
    assert len(log.repeats.held) == KINDS_MAX
    log.repeats.flush(all_=True)
    assert log.counted == 9 * KINDS_MAX
    assert log.repeats.held == {}


PROGRAM: Final = """
import logging, structlog
from chassis.process import logs
logs.configure("order", "INFO")
for port in range(500):
    logging.getLogger("aiokafka").error("Unable connect to node with id %s: %s", port, port)
    structlog.get_logger().warning("relay_failed", error=f"no answer from {port}", failures=port)
logs.flush(all_=True)
"""


def test_the_lines_of_libraries_are_counted_too() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert len(lines) == 4
    for event in ("Unable connect", "relay_failed"):
        result = [line for line in lines if line["event"].startswith(event)]
        assert sum(1 + line.get("repeated", 0) for line in result) == 500
        assert {line["service"] for line in result} == {"order"}
