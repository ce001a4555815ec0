"""Batches are spaced out by how much they hold, and what comes one by one never waits."""

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


@pytest.mark.parametrize(("n", "wait_s"), [(0, 0), (1, 0), (2, 0.25), (4, 0.375), (100, 0.495)])
async def test_the_more_a_batch_held_the_longer_the_next_is_collected(
    stopped: StoppedClock, n: int, wait_s: float
) -> None:
    pace = Pace(every_s=0.5)
    await pace.handled(1)
    begun, ended = stopped.s, []
    for _ in range(3):
        await pace.handled(n)
        ended.append(stopped.s - begun)
    assert ended == pytest.approx([wait_s, 2 * wait_s, 3 * wait_s])


async def test_the_time_that_a_batch_took_is_part_of_its_interval(stopped: StoppedClock) -> None:
    pace = Pace(every_s=0.5)
    await pace.handled(1)
    begun = stopped.s
    stopped.s += 0.3
    await pace.handled(100)
    assert stopped.s - begun == pytest.approx(0.495)
    begun = stopped.s = stopped.s + 0.5
    await pace.handled(100)
    assert stopped.s == begun


async def test_without_an_interval_nothing_waits(stopped: StoppedClock) -> None:
    pace, begun = Pace(), stopped.s
    for n in range(100):
        await pace.handled(n)
    assert stopped.s == begun


@pytest.mark.parametrize(("keys", "wait_s"), [(1, 0), (5, 0.4)])
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
    await relay.pace.handled(1)
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
        outbox, Cluster("127.0.0.1:1"), "order", together=frozenset({LOG}), pace=Pace(0.5)
    )
    monkeypatch.setattr(relay.sender, "publish", publish)
    return relay
