"""What was heard long ago is let go of chunk by chunk, until none is left or the process stops."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from chassis import keeping
from chassis.errors import TransientError


@dataclass
class Remembering:
    """A store with so many chunks to forget; `stopping` is set by the last of its `answers`."""

    answers: list[int | Exception]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    tended: int = 0

    async def tend(self) -> None:
        self.tended += 1

    async def forget(self) -> int:
        answer = self.answers.pop(0)
        if not self.answers:
            self.stopping.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def told(store: Remembering, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    monkeypatch.setattr(keeping, "EVERY_S", 0.001)
    monkeypatch.setattr(keeping, "PAUSE_S", 0.001)
    with capture_logs() as lines:
        async with asyncio.timeout(5):
            await keeping.run(store, store.stopping)  # type: ignore[arg-type]  # two of its methods
    return [(line["event"], line.get("rows")) for line in lines]


async def test_all_is_forgotten_and_one_line_says_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Remembering([10, 10, 3, 0, 0, 4, 0])
    assert await told(store, monkeypatch) == [("forgotten", 23), ("forgotten", 4)]
    assert store.tended == 3


async def test_it_stops_with_the_process_though_more_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await told(Remembering([10, 10]), monkeypatch) == [("forgotten", 20)]


async def test_what_fails_is_tried_again_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Remembering([10, TransientError("away"), 5, 0])
    lines = [("forgotten", 10), ("keeping_not_tended", None), ("forgotten", 5)]
    assert await told(store, monkeypatch) == lines
