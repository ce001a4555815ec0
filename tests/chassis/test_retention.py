"""What was heard long ago is let go of chunk by chunk, until none is left or the process stops."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from chassis import store_clock
from chassis.errors import ClockInDoubtError, TransientError
from chassis.health import Health
from chassis.process import retention


@dataclass
class Remembering:
    """A store with so many chunks to forget; `stopping` is set by the last of its `answers`."""

    answers: list[int | Exception]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    health: Health = field(default_factory=lambda: Health("retention"))
    tended: int = 0

    async def rotate_partitions(self) -> None:
        self.tended += 1

    async def prune_inbox(self) -> int:
        answer = self.answers.pop(0)
        if not self.answers:
            self.stopping.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def result(store: Remembering, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    monkeypatch.setattr(retention, "EVERY_S", 0.001)
    monkeypatch.setattr(retention, "PAUSE_S", 0.001)
    with capture_logs() as lines:
        async with asyncio.timeout(60):
            await retention.run(store, store.health, store.stopping)  # type: ignore[arg-type]  # two of its methods
    return [(line["event"], line.get("rows")) for line in lines]


async def test_all_is_forgotten_and_one_line_says_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Remembering([10, 10, 3, 0, 0, 4, 0])
    assert await result(store, monkeypatch) == [("pruned", 23), ("pruned", 4)]
    assert store.tended == 3


async def test_it_stops_with_the_process_though_more_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await result(Remembering([10, 10]), monkeypatch) == [("pruned", 20)]


async def test_what_fails_is_tried_again_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Remembering([10, TransientError("away"), 5, 0])
    lines = [("pruned", 10), ("retention_failed", None), ("pruned", 5)]
    assert await result(store, monkeypatch) == lines


async def test_a_clock_in_doubt_holds_it_back_and_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Remembering([10, ClockInDoubtError("it jumped")])
    assert await result(store, monkeypatch) == [("pruned", 10), ("retention_held", None)]
    assert [(c.reason, c.detail, c.blocking) for c in store.health.now()] == [
        ("retention_held", "it jumped", False)
    ]
    store.answers, store.stopping = [0], asyncio.Event()
    await result(store, monkeypatch)
    assert store.health.now() == ()


NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("here", "jumped", "why"),
    [
        (NOON, None, ""),
        (NOON + store_clock.SKEW_MAX, None, ""),
        (NOON + store_clock.SKEW_MAX * 1.01, None, "this process's 2031-05-04 12:05:03+00:00"),
        (NOON - store_clock.SKEW_MAX * 1.01, None, "this process's 2031-05-04 11:54:57+00:00"),
        (NOON, NOON - store_clock.HOLD, ""),
        (NOON, NOON - store_clock.HOLD * 0.99, "held until 2031-05-04 12:14:24+00:00"),
    ],
)
def test_nothing_is_deleted_by_a_clock_that_differs_or_has_jumped(
    here: datetime, jumped: datetime | None, why: str
) -> None:
    reason = store_clock.doubt(NOON, here, jumped)
    assert reason.endswith(why)
    assert bool(reason) == bool(why)
