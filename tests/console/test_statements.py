"""Cursors and statements of the console's lists."""

from datetime import UTC, datetime, timedelta

import pytest

from console.filters import PagePlace, counting, cursor_of, paging, place_of
from console.model import Counted, Filter

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PLACE = PagePlace(NOW, "o-1")


def test_a_cursor_is_the_place_that_it_was_made_of() -> None:
    assert place_of(cursor_of(PLACE)) == PLACE


@pytest.mark.parametrize("text", ["", "x", "bm9uZQ==", "ÿ", "MjAyNi0wMS0wMiBvLTE="])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    """The last one is a place without a zone."""
    with pytest.raises(ValueError, match="it is no cursor"):
        place_of(text)


def test_each_value_of_a_statement_is_a_parameter() -> None:
    evil = frozenset({"'; DROP TABLE orders; --"})
    wanted = Filter(
        states=evil,
        steps=evil,
        edges=evil,
        reasons=evil,
        customers=evil,
        ids=evil,
        text=min(evil),
        older=timedelta(minutes=5),
        waiting=timedelta(minutes=1),
        placed_from=NOW,
        placed_until=NOW,
        in_flight=True,
    )
    for rare in (True, False):
        page, values = paging(wanted, PLACE, 10, NOW, rare_edges=rare)
        assert "DROP" not in page
        assert f"${len(values)}" in page
        assert f"${len(values) + 1}" not in page
        count, _ = counting(wanted, 10, NOW, rare_edges=rare)
        assert "DROP" not in count


def test_the_rarest_condition_drives_a_statement() -> None:
    wanted = Filter(states=frozenset({"Cancelled"}), customers=frozenset({"c-1"}))
    sql, values = paging(wanted, None, 10, NOW, rare_edges=True)
    assert "o.customer = driver.value" in sql
    assert "o.state = ANY(" in sql
    assert ["c-1"] in values


def test_an_age_is_reckoned_from_now() -> None:
    _, values = paging(Filter(older=timedelta(minutes=5)), None, 10, NOW, rare_edges=True)
    assert values[0] == NOW - timedelta(minutes=5)


def test_a_count_says_when_it_stopped() -> None:
    assert [str(Counted(7)), str(Counted(10_000, is_capped=True))] == ["7", "10,000+"]
