"""Rows at hand are relayed without a look, but not where another's may have to go first."""

from chassis.fresh import Fresh
from chassis.message import OutboxRow


def a_row(key: str) -> OutboxRow:
    return OutboxRow("payment.events", key, b"{}", [])


def looked(fresh: Fresh, *, is_end: bool = True, is_own: bool = True) -> Fresh:
    fresh.looking()
    fresh.looked(is_end=is_end, is_own=is_own)
    return fresh


def test_before_the_first_look_nothing_is_sure() -> None:
    assert not Fresh().is_all


def test_after_a_look_to_the_end_the_oldest_are_at_hand_in_their_order() -> None:
    fresh = looked(Fresh())
    fresh.add(["1", "2", "3"], [a_row("a"), a_row("b"), a_row("a")])
    assert fresh.is_all
    assert [id_ for id_, _ in fresh.first(2)] == ["1", "2"]


def test_a_look_that_saw_not_all_leaves_the_doubt() -> None:
    assert not looked(Fresh(), is_end=False).is_all


def test_where_others_write_it_is_looked_at_each_time() -> None:
    assert not looked(Fresh(), is_own=False).is_all
    assert looked(Fresh(others_s=-1), is_own=False).is_all


def test_a_doubt_that_comes_up_during_a_look_stays() -> None:
    fresh = Fresh()
    fresh.looking()
    fresh.doubt()
    fresh.looked(is_end=True, is_own=True)
    assert not fresh.is_all


def test_rows_for_which_there_is_no_room_are_looked_up() -> None:
    fresh = looked(Fresh(rows_max=1))
    fresh.add(["1"], [a_row("a")])
    fresh.add(["2"], [a_row("b")])
    assert not fresh.is_all


def test_whoever_lost_the_right_to_relay_forgets_all() -> None:
    fresh = looked(Fresh())
    fresh.add(["1"], [a_row("a")])
    fresh.clear()
    assert not fresh.is_all
    assert fresh.first(10) == []
