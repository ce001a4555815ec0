"""Effects are handed over once the rows of their own commit are in the log, and not for long."""

import pytest

from chassis import clock
from chassis.handover import STARTS_BEFORE_S, Handover
from chassis.message import OutboxRow, PendingEffect
from chassis.work import Work


def an_effect(key: str, kind: str = "Capture", tries: int = 1) -> PendingEffect:
    return PendingEffect(f"{key}:{kind}:1", key, kind, b"{}", "", tries=tries)


def decided(*rows: tuple[str, str], effects: list[PendingEffect]) -> Work:
    """`rows` are ids and keys."""
    outbox = [OutboxRow("payment.events", key, b"{}", []) for _, key in rows]
    return Work(outbox=outbox, outbox_ids=[id_ for id_, _ in rows], effects=effects)


@pytest.fixture
def handover() -> Handover:
    return Handover(frozenset({"Capture"}))


def test_an_effect_waits_for_its_own_orders_rows(handover: Handover) -> None:
    effects = [an_effect("a"), an_effect("b")]
    handover.committed(decided(("1", "a"), ("2", "b"), effects=effects))
    assert handover.take(10) == []
    assert not handover.published(["2"])
    assert handover.take(10) == [effects[1]]
    assert not handover.published(["1"])
    assert handover.take(10) == [effects[0]]


def test_it_waits_for_the_last_row_of_its_order(handover: Handover) -> None:
    handover.committed(decided(("1", "a"), ("2", "a"), effects=[an_effect("a")]))
    handover.published(["1"])
    assert handover.take(10) == []
    handover.published(["2"])
    assert len(handover.take(10)) == 1


def test_an_earlier_row_of_the_order_does_not_release_it(handover: Handover) -> None:
    handover.committed(decided(("1", "a"), effects=[]))
    handover.committed(decided(("2", "a"), effects=[an_effect("a")]))
    handover.published(["1"])
    assert handover.take(10) == []


def test_kafka_may_be_heard_of_before_the_database(handover: Handover) -> None:
    """The commit has been relayed before its own task goes on."""
    assert handover.published(["1"])
    handover.committed(decided(("1", "a"), effects=[an_effect("a")]))
    assert len(handover.take(10)) == 1


def test_a_row_of_another_process_releases_nothing_and_is_noticed(handover: Handover) -> None:
    handover.committed(decided(("1", "a"), effects=[an_effect("a")]))
    assert handover.published(["7"])
    assert handover.take(10) == []


@pytest.mark.parametrize("effect", [an_effect("a", tries=0), an_effect("a", kind="Refund")])
def test_what_has_no_lease_or_is_anothers_stays_in_the_store(
    handover: Handover, effect: PendingEffect
) -> None:
    handover.committed(decided(("1", "a"), effects=[effect]))
    assert not handover.published(["1"])
    assert handover.take(10) == []


def test_no_more_are_taken_than_there_is_room_for(handover: Handover) -> None:
    rows = [(str(n), str(n)) for n in range(5)]
    handover.committed(decided(*rows, effects=[an_effect(key) for _, key in rows]))
    handover.published([id_ for id_, _ in rows])
    assert [len(handover.take(2)) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize("rows_published", [1, 0])
def test_what_waited_too_long_is_left_to_the_store(
    handover: Handover, rows_published: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = clock.monotonic()
    handover.committed(decided(("1", "a"), effects=[an_effect("a")]))
    handover.published(["1", "2"][:rows_published])
    handover.published(["of another process"])
    monkeypatch.setattr(clock, "monotonic", lambda: begun + STARTS_BEFORE_S + 1)
    assert handover.take(10) == []
    assert (handover._waiting, handover._early, list(handover._ready)) == ({}, {}, [])


def test_what_nobody_takes_does_not_pile_up(
    handover: Handover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The circuit is open for hours, and orders go on coming in."""
    begun = clock.monotonic()
    for n in range(100):
        monkeypatch.setattr(clock, "monotonic", lambda n=n: begun + n)
        handover.committed(decided((str(n), str(n)), effects=[an_effect(str(n))]))
        if n % 2:
            handover.published([str(n)])
    assert len(handover._ready) + len(handover._waiting) <= STARTS_BEFORE_S + 1
