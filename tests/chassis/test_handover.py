"""Effects are handed over once the rows of their own commit are in the log, and not for long."""

import pytest

from chassis import clock
from chassis.handover import STARTS_BEFORE_S, Handover
from chassis.message import OutboxRow, PendingEffect
from chassis.work import Work


def a_row(key: str) -> OutboxRow:
    return OutboxRow("payment.events", key, b"{}", [])


def an_effect(key: str, kind: str = "Capture", tries: int = 1) -> PendingEffect:
    return PendingEffect(f"{key}:{kind}:1", key, kind, b"{}", "", tries=tries)


@pytest.fixture
def handover() -> Handover:
    return Handover(frozenset({"Capture"}))


def test_an_effect_waits_for_its_own_orders_rows(handover: Handover) -> None:
    rows, effects = [a_row("a"), a_row("b")], [an_effect("a"), an_effect("b")]
    handover.committed(Work(outbox=rows, effects=effects))
    assert handover.take(10) == []
    assert not handover.published(rows[1:])
    assert handover.take(10) == [effects[1]]
    assert not handover.published(rows[:1])
    assert handover.take(10) == [effects[0]]


def test_it_waits_for_the_last_row_of_its_order(handover: Handover) -> None:
    rows = [a_row("a"), a_row("a")]
    handover.committed(Work(outbox=rows, effects=[an_effect("a")]))
    handover.published(rows[:1])
    assert handover.take(10) == []
    handover.published(rows[1:])
    assert len(handover.take(10)) == 1


def test_an_earlier_row_of_the_order_does_not_release_it(handover: Handover) -> None:
    earlier, own = a_row("a"), a_row("a")
    handover.committed(Work(outbox=[earlier]))
    handover.committed(Work(outbox=[own], effects=[an_effect("a")]))
    handover.published([earlier])
    assert handover.take(10) == []


def test_an_equal_row_of_another_process_releases_nothing_and_is_noticed(
    handover: Handover,
) -> None:
    handover.committed(Work(outbox=[a_row("a")], effects=[an_effect("a")]))
    assert handover.published([a_row("a")])
    assert handover.take(10) == []


@pytest.mark.parametrize("effect", [an_effect("a", tries=0), an_effect("a", kind="Refund")])
def test_what_has_no_lease_or_is_anothers_stays_in_the_store(
    handover: Handover, effect: PendingEffect
) -> None:
    row = a_row("a")
    handover.committed(Work(outbox=[row], effects=[effect]))
    assert not handover.published([row])
    assert handover.take(10) == []


def test_no_more_are_taken_than_there_is_room_for(handover: Handover) -> None:
    rows = [a_row(str(n)) for n in range(5)]
    handover.committed(Work(outbox=rows, effects=[an_effect(row.key) for row in rows]))
    handover.published(rows)
    assert [len(handover.take(2)) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize("rows_published", [1, 0])
def test_what_waited_too_long_is_left_to_the_store(
    handover: Handover, rows_published: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, begun = a_row("a"), clock.monotonic()
    handover.committed(Work(outbox=[row], effects=[an_effect("a")]))
    handover.published([row][:rows_published])
    monkeypatch.setattr(clock, "monotonic", lambda: begun + STARTS_BEFORE_S + 1)
    assert handover.take(10) == []
    others = handover.published([row])
    assert others, "the store has to be looked at for it"
    assert (handover._waiting, list(handover._ready)) == ({}, [])
