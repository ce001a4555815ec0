"""Effects are run here once the rows of their own commit are in the log, and not for long."""

from typing import Final

import pytest

from chassis import clock
from chassis.bus import Committed, Sent
from chassis.decide import BatchResult, Snapshot
from chassis.effects.local import STARTS_BEFORE_S, LocalEffectQueue
from chassis.events import dead_letters_of
from chassis.message import OutboxRow, PendingEffect

LETTERS: Final = dead_letters_of("payment")


def an_effect(key: str, kind: str = "Capture", tries: int = 1) -> PendingEffect:
    return PendingEffect(f"{key}:{kind}:1", key, kind, b"{}", "", tries=tries)


def a_row(key: str, topic: str = "payment.events") -> OutboxRow:
    return OutboxRow(topic, key, b"{}", [])


def decided(*rows: tuple[str, str], effects: list[PendingEffect]) -> Committed:
    """`rows` are ids and keys."""
    outbox, ids = [a_row(key) for _, key in rows], [id_ for id_, _ in rows]
    result = BatchResult(Snapshot(), outbox=outbox, outbox_ids=ids, effects=effects)
    return Committed([], result)


def sent(*ids: str) -> Sent:
    return Sent([(id_, a_row("")) for id_ in ids])


@pytest.fixture
def queue() -> LocalEffectQueue:
    return LocalEffectQueue(frozenset({"Capture"}), LETTERS)


def test_an_effect_waits_for_its_own_orders_rows(queue: LocalEffectQueue) -> None:
    effects = [an_effect("a"), an_effect("b")]
    queue.committed(decided(("1", "a"), ("2", "b"), effects=effects))
    assert queue.take(10) == []
    assert not queue.sent(sent("2"))
    assert queue.take(10) == [effects[1]]
    assert not queue.sent(sent("1"))
    assert queue.take(10) == [effects[0]]


def test_it_waits_for_the_last_row_of_its_order(queue: LocalEffectQueue) -> None:
    queue.committed(decided(("1", "a"), ("2", "a"), effects=[an_effect("a")]))
    queue.sent(sent("1"))
    assert queue.take(10) == []
    queue.sent(sent("2"))
    assert len(queue.take(10)) == 1


def test_an_earlier_row_of_the_order_does_not_release_it(queue: LocalEffectQueue) -> None:
    queue.committed(decided(("1", "a"), effects=[]))
    queue.committed(decided(("2", "a"), effects=[an_effect("a")]))
    queue.sent(sent("1"))
    assert queue.take(10) == []


def test_a_copy_of_a_dead_letter_of_its_order_does_not_hold_it_up(queue: LocalEffectQueue) -> None:
    event = decided(("1", "a"), ("2", "a"), effects=[an_effect("a")])
    event.result.outbox[1] = a_row("a", LETTERS)
    queue.committed(event)
    assert not queue.sent(sent("2"))
    assert queue.take(10) == []
    assert not queue.sent(sent("1"))
    assert len(queue.take(10)) == 1


def test_kafka_may_acknowledge_before_the_commit_is_known(queue: LocalEffectQueue) -> None:
    """The commit has been relayed before its own task goes on."""
    assert queue.sent(sent("1"))
    queue.committed(decided(("1", "a"), effects=[an_effect("a")]))
    assert len(queue.take(10)) == 1


def test_a_row_of_another_process_releases_nothing_and_is_noticed(queue: LocalEffectQueue) -> None:
    queue.committed(decided(("1", "a"), effects=[an_effect("a")]))
    assert queue.sent(sent("7"))
    assert queue.take(10) == []


@pytest.mark.parametrize("effect", [an_effect("a", tries=0), an_effect("a", kind="Refund")])
def test_what_has_no_lease_or_is_anothers_stays_in_the_store(
    queue: LocalEffectQueue, effect: PendingEffect
) -> None:
    queue.committed(decided(("1", "a"), effects=[effect]))
    assert not queue.sent(sent("1"))
    assert queue.take(10) == []


def test_no_more_are_taken_than_there_is_room_for(queue: LocalEffectQueue) -> None:
    rows = [(str(n), str(n)) for n in range(5)]
    queue.committed(decided(*rows, effects=[an_effect(key) for _, key in rows]))
    queue.sent(sent(*(id_ for id_, _ in rows)))
    assert [len(queue.take(2)) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize("rows_published", [1, 0])
def test_what_waited_too_long_is_left_to_the_store(
    queue: LocalEffectQueue, rows_published: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = clock.monotonic()
    queue.committed(decided(("1", "a"), effects=[an_effect("a")]))
    queue.sent(sent(*["1", "2"][:rows_published]))
    queue.sent(sent("of another process"))
    monkeypatch.setattr(clock, "monotonic", lambda: begun + STARTS_BEFORE_S + 1)
    assert queue.take(10) == []
    assert (queue.waiting, queue.early, list(queue.ready)) == ({}, {}, [])


def test_what_nobody_takes_does_not_pile_up(
    queue: LocalEffectQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The circuit is open for hours, and orders go on coming in."""
    begun = clock.monotonic()
    for n in range(100):
        monkeypatch.setattr(clock, "monotonic", lambda n=n: begun + n)
        queue.committed(decided((str(n), str(n)), effects=[an_effect(str(n))]))
        if n % 2:
            queue.sent(sent(str(n)))
    assert len(queue.ready) + len(queue.waiting) <= STARTS_BEFORE_S + 1
