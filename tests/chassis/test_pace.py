"""Batches are spaced out once several come in quick succession, and a lone one never waits."""

from types import SimpleNamespace
from typing import Any

import pytest

from chassis import clock
from chassis.kafka import Cluster
from chassis.message import OutboxRow
from chassis.outbox import Relay
from chassis.pace import Pace
from tests.support.stopped_clock import StoppedClock

LOG, DETAILS = "order.forward", "order.details"


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
        await pace.handled(2)
        ended.append(stopped.s - begun)
    assert ended == [0, 0, 0, 0.5, 1.0, 1.5]


async def test_a_batch_that_comes_alone_does_not_wait(stopped: StoppedClock) -> None:
    pace, begun = Pace(every_s=0.5, burst=1), stopped.s
    for seconds in range(1, 6):
        await pace.handled(2)
        assert stopped.s == begun
        begun = stopped.s = stopped.s + seconds / 2


@pytest.mark.parametrize(("n", "wait_s"), [(1, 0.25), (2, 1.0), (9, 1.0)])
async def test_a_batch_of_one_counts_as_its_share(
    stopped: StoppedClock, n: int, wait_s: float
) -> None:
    pace = Pace(every_s=1.0, burst=0, lone=0.25)
    for _ in range(3):
        begun = stopped.s
        await pace.handled(n)
        assert stopped.s - begun == wait_s


async def test_without_an_interval_nothing_waits(stopped: StoppedClock) -> None:
    pace, begun = Pace(), stopped.s
    for n in range(100):
        await pace.handled(n)
    assert stopped.s == begun


@pytest.mark.parametrize(("keys", "wait_s"), [(1, 0.125), (5, 0.5)])
async def test_a_relay_counts_the_keys_of_its_log(
    stopped: StoppedClock, monkeypatch: pytest.MonkeyPatch, keys: int, wait_s: float
) -> None:
    """An order's details, and its second event, are no other order."""
    placed = [
        (f"{topic}-{k}-{n}", _row(topic, f"o-{k}"))
        for k in range(keys)
        for n in "ab"
        for topic in (LOG,)
    ]
    details = [(f"details-{n}", _row(DETAILS, f"c-{n}")) for n in range(20)]
    relay = _relay([*placed, *details], monkeypatch)
    begun = stopped.s
    await relay.relay_once()
    assert stopped.s - begun == pytest.approx(wait_s)


def _row(topic: str, key: str) -> OutboxRow:
    return OutboxRow(topic, key, b"{}", ())


def _relay(rows: list[tuple[str, OutboxRow]], monkeypatch: pytest.MonkeyPatch) -> Relay:
    async def pending(_wanted: int, *_shut: str) -> Any:
        return SimpleNamespace(rows=rows)

    async def publish(some: list[tuple[str, OutboxRow]]) -> Any:
        return [id_ for id_, _ in some], None

    outbox: Any = SimpleNamespace(pending=pending)
    relay = Relay(
        outbox,
        Cluster("127.0.0.1:1"),
        "order",
        together=frozenset({LOG}),
        pace=Pace(0.5, burst=0, lone=0.25),
    )
    monkeypatch.setattr(relay.sender, "publish", publish)
    return relay
