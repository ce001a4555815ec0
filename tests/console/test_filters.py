"""The filter text: what it asks for, and what it says of a text that is none."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.model import EVERYTHING, Filter
from console.web.filters import READ, FilterError, Wanted, parse, with_word


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", EVERYTHING),
        ("   ", EVERYTHING),
        ("state:pending", Filter(states=frozenset({"Pending"}))),
        ("state:PENDING,cancelled", Filter(states=frozenset({"Pending", "Cancelled"}))),
        ("step:payment", Filter(steps=frozenset({"payment"}))),
        ("edge:order.placed>inventory", Filter(edges=frozenset({"order.placed>inventory"}))),
        ('reason:"no stock"', Filter(reasons=frozenset({"no stock"}))),
        ("customer:c_1", Filter(customers=frozenset({"c_1"}))),
        ("older:5m", Filter(older=timedelta(minutes=5))),
        ("waiting:250ms", Filter(waiting=timedelta(milliseconds=250))),
        ("flight:yes", Filter(in_flight=True)),
        ("flight:no", Filter(in_flight=False)),
        ("from:2026-11-29", Filter(placed_from=datetime(2026, 11, 29, tzinfo=UTC))),
        (
            "until:2026-11-29T10:00+02:00",
            Filter(placed_until=datetime(2026, 11, 29, 8, tzinfo=UTC)),
        ),
        ("01a22480", Filter(text="01a22480")),
        (
            "state:pending  step:payment older:2h",
            Filter(
                states=frozenset({"Pending"}),
                steps=frozenset({"payment"}),
                older=timedelta(hours=2),
            ),
        ),
    ],
)
def test_a_text_asks_for(text: str, wanted: Filter) -> None:
    assert parse(text) == Wanted(wanted)


def test_what_is_retried_is_asked_beside_the_filter() -> None:
    assert parse("retrying:yes state:pending") == Wanted(
        Filter(states=frozenset({"Pending"})), retrying=True
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("state:lost", "there is no state 'lost': there are"),
        ("step:warehouse", "there is no step 'warehouse'"),
        ("colour:red", "there is no 'colour': there are state, step"),
        ("older:soon", "older is a duration such as 30s"),
        ("older:5", "older is a duration"),
        ("flight:perhaps", "flight is yes or no"),
        ("from:yesterday", "from is a time such as"),
        ("from:0001-01-01T00:00+14:00", "no time that an order has"),
        ("state:pending state:cancelled", "state is given twice"),
        ('reason:"no stock', "what does 'reason:"),
        ("a b", "an id is given twice"),
        ("what?", "is no beginning of an order's id"),
        ("x" * 1001, "at most 1000 characters"),
    ],
)
def test_a_text_that_is_no_filter_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(FilterError, match=why.replace("?", r"\?")):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    read = None
    with suppress(FilterError):
        read = parse(text)
    assert read is None or isinstance(read, Wanted)


def test_a_word_takes_the_place_of_another_of_its_name() -> None:
    assert with_word("state:pending older:5m", "state", "cancelled") == "older:5m state:cancelled"
    assert with_word("older:5m", "reason", "no stock") == 'older:5m reason:"no stock"'
    assert with_word("older:5m state:pending", "state", "") == "older:5m"
    assert parse(with_word("", "reason", "no stock")).filter.reasons == {"no stock"}


def test_each_field_of_a_filter_has_a_word() -> None:
    fields = set(Filter.__dataclass_fields__)
    assert fields - {field for field, _ in READ.values()} == {"ids"}
