"""Batches are spaced out once several come in quick succession, and a lone one never waits."""

import pytest

from chassis import clock
from chassis.pace import Pace
from tests.support.stopped_clock import StoppedClock


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    """Waiting moves it, and takes no time."""
    stopped = StoppedClock(monkeypatch)

    async def wait(seconds: float) -> None:
        stopped.s += seconds

    monkeypatch.setattr(clock, "wait", wait)
    return stopped


async def test_batches_in_quick_succession_are_spaced_after_the_first_few(
    stopped: StoppedClock,
) -> None:
    pace, begun, ended = Pace(every_s=0.5, burst=3), stopped.s, []
    for _ in range(6):
        await pace.handled()
        ended.append(stopped.s - begun)
    assert ended == [0, 0, 0, 0.5, 1.0, 1.5]


async def test_a_batch_that_comes_alone_does_not_wait(stopped: StoppedClock) -> None:
    pace, begun = Pace(every_s=0.5, burst=1), stopped.s
    for seconds in range(1, 6):
        await pace.handled()
        assert stopped.s == begun
        begun = stopped.s = stopped.s + seconds / 2


async def test_without_an_interval_nothing_waits(stopped: StoppedClock) -> None:
    pace, begun = Pace(), stopped.s
    for _ in range(100):
        await pace.handled()
    assert stopped.s == begun
