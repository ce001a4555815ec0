"""Card numbers are found in whatever form they are written, and what is none passes."""

from dataclasses import dataclass
from typing import Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.bus import Bus
from chassis.card_numbers import field_with_card_number, holds_card_number
from chassis.commands import CardNumberError
from chassis.ids import new_id
from chassis.postgres import PostgresStore
from order_svc.customers import Pseudonyms

NUMBERS: Final = (
    "4222222222222",
    "30569309025904",
    "378282246310005",
    "4242424242424242",
    "6304000000000000000",
)
"""Test numbers of the card networks, of 13, 14, 15, 16 and 19 digits."""


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "separator", ["", " ", "-", "_", ".", " - ", "\u200b", "\u00a0", "/", ")("]
)
@pytest.mark.parametrize(
    "around", ["{}", "tok_{}", "c{}x", "card no. {}, 12/29", "1 {} 2", "{}-{}"]
)
def test_a_card_number_is_found(number: str, separator: str, around: str) -> None:
    written = separator.join(number[n : n + 4] for n in range(0, len(number), 4))
    assert holds_card_number(around.replace("{}", written))


@pytest.mark.parametrize("zero", ["\uff10", "\u0660", "\u0966", "\U0001d7d8"])
def test_digits_of_any_script_count(zero: str) -> None:
    assert holds_card_number("".join(chr(ord(zero) + int(d)) for d in "4242424242424242"))


@given(st.text("0123456789", min_size=12, max_size=18))
def test_of_ten_last_digits_one_makes_a_card_number(digits: str) -> None:
    assert sum(holds_card_number(digits + last) for last in "0123456789") == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tok_1NirD82eZvKYlo2CIvbtLWuY",
        "customer-7",
        "424242424242",
        "4242424242424241",
        "42424242a42424242",
        "4" * 20,
        "00000000-0000-4000-8000-000000000000",
    ],
)
def test_other_text_passes(text: str) -> None:
    assert not holds_card_number(text)


def test_an_order_id_passes_whatever_its_digits() -> None:
    assert not any(holds_card_number(new_id()) for _ in range(1000))
    assert holds_card_number("42424242-4242-4242-0000-000000000000")  # not RFC 9562's form


@dataclass(frozen=True)
class LineOfCart:
    sku: str


@dataclass(frozen=True)
class Cart:
    name: str
    lines: tuple[LineOfCart, ...]


def test_the_field_is_named_at_any_depth() -> None:
    card = "4242 4242 4242 4242"
    assert field_with_card_number(Cart("ann", (LineOfCart("A"), LineOfCart(card)))) == "sku"
    assert field_with_card_number({"note": {"text": [1, card]}}) == "text"
    assert field_with_card_number({"note": {card: 1}}) == "note"
    assert field_with_card_number(Cart("ann", (LineOfCart("A"),))) is None


async def test_no_pseudonym_is_made_for_one() -> None:
    """The store is not even asked."""
    pseudonyms = Pseudonyms(cast("PostgresStore", None), Bus().publish)
    with pytest.raises(CardNumberError) as caught:
        await pseudonyms.pseudonym_of("4242 4242 4242 4242")
    assert caught.value.field == "customer_id"
