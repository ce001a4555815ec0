"""How many checkouts are let in while orders take long."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from chassis import clock
from chassis.bus import Committed
from chassis.decide import BatchResult, Snapshot
from chassis.message import VersionedState
from order_svc.admission import ENOUGH, FORGOTTEN_AFTER_S, LET_IN, Admission
from order_svc.domain import Cancelled, Confirmed, Pending
from tests.support.records import an_order


class Time:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.s = 0.0
        self.started = clock.now()

    def now(self) -> datetime:
        return self.started + timedelta(seconds=self.s)

    def monotonic(self) -> float:
        return self.s


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(clock, "now", time.now)
    monkeypatch.setattr(clock, "monotonic", time.monotonic)
    return time


def confirm(admission: Admission, time: Time, *took_s: float) -> None:
    """A commit that confirms orders which took so long; a second later."""
    time.s += 1
    result = BatchResult(Snapshot())
    for seconds in took_s:
        placed_at = time.now() - timedelta(seconds=seconds)
        order = replace(an_order(), placed_at=placed_at)
        result.own[order.order_id] = row = VersionedState(Pending(order=order), 1)
        row.state, row.version = Confirmed(order=order), 2
    admission.committed(Committed([], result))


def let_in(admission: Admission, asked: int = 1000) -> int:
    return sum(admission.admits() for _ in range(asked))


def test_all_are_let_in_while_some_order_is_quick(time: Time) -> None:
    admission = Admission(5)
    assert let_in(admission) == 1000
    for _ in range(5):
        confirm(admission, time, *[60.0] * 100, 0.1)
        assert let_in(admission) == 1000


def test_once_all_take_long_as_many_are_let_in_as_are_settled_or_fewer(time: Time) -> None:
    admission = Admission(5)
    for _ in range(5):
        confirm(admission, time, *[6.0] * 100)
        assert let_in(admission) == pytest.approx(100 * LET_IN, abs=1)
        assert let_in(admission) == 0


def test_a_cancelled_order_makes_room_as_well(time: Time) -> None:
    admission = Admission(5)
    confirm(admission, time, *[6.0] * ENOUGH)
    let_in(admission)
    order = an_order()
    cancelled = Cancelled(
        order=order, reason="out_of_stock", refused_by="inventory", refunded_minor=0, fee_minor=0
    )
    row = VersionedState(Pending(order=order), 1)
    row.state, row.version = cancelled, 2
    event = Committed([], BatchResult(Snapshot(), own={order.order_id: row}))
    for _ in range(2):
        admission.committed(event)
    assert let_in(admission) == 1


def test_when_orders_are_quick_again_all_are_let_in(time: Time) -> None:
    admission = Admission(5)
    confirm(admission, time, *[6.0] * 100)
    assert let_in(admission) < 1000
    confirm(admission, time, *[1.0] * 100)
    assert let_in(admission) == 1000


def test_a_straggler_on_a_quiet_day_refuses_nobody(time: Time) -> None:
    admission = Admission(5)
    for _ in range(3):
        confirm(admission, time, *[600.0] * (ENOUGH - 1))
        assert let_in(admission) == 1000


def test_where_nothing_settles_nobody_is_refused_for_long(time: Time) -> None:
    """A neighbour is away: orders are kept until it is back, or until their deadlines."""
    admission = Admission(5)
    confirm(admission, time, *[6.0] * 100)
    let_in(admission)
    assert let_in(admission) == 0
    time.s += FORGOTTEN_AFTER_S + 1
    assert let_in(admission) == 1000


def test_zero_never_refuses(time: Time) -> None:
    admission = Admission(0)
    confirm(admission, time, *[600.0] * 100)
    assert let_in(admission) == 1000
