"""No event of a topic that is kept has a place for personal or card data."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chassis.events import Entry
from order_svc.resources import Checkout
from saga_cli.demo import a_checkout
from shared_events.catalog import CATALOG, DELIVERY_DETAILS, PAYMENT_DETAILS
from shared_events.order import DeliveryDetailsGiven

PERSONAL: Final = re.compile(
    r"(^|_)(name|street|city|address|house|email|mail|phone|mobile|birth\w*|gender|ip|iban|bic)(_|$)"
)
CARD: Final = re.compile(r"(^|_)(card|pan|cvc|cvv|expiry|holder|number)(_|$)")
OF_THINGS: Final = {("product.priced.v1", "name")}  # a product's
KEPT: Final = [entry for entry in CATALOG.entries if entry.topic not in CATALOG.compacted]


def names(kind: Any) -> Iterator[str]:
    """Names of the fields of an event and of the values in it."""
    for field in fields(kind):
        yield field.name
        for part in (field.type, *get_args(field.type)):
            if isinstance(part, type) and is_dataclass(part):
                yield from names(part)


def suspicious(entry: Entry) -> set[str]:
    found = {n for n in names(entry.event) if PERSONAL.search(n) or CARD.search(n)}
    return {name for name in found if (entry.wire_type, name) not in OF_THINGS}


@pytest.mark.parametrize("entry", KEPT, ids=lambda entry: entry.wire_type)
def test_an_event_that_is_kept_has_no_field_for_personal_or_card_data(entry: Entry) -> None:
    assert suspicious(entry) == set()


def test_personal_data_has_one_event_and_it_is_on_the_compacted_topic() -> None:
    private = {entry.event: entry.topic for entry in CATALOG.entries if suspicious(entry)}
    assert private == {DeliveryDetailsGiven: DELIVERY_DETAILS}
    assert {DELIVERY_DETAILS, PAYMENT_DETAILS} == CATALOG.compacted


def luhn(digits: str) -> str:
    """The check digit (ISO/IEC 7812-1) of a card number's other digits."""
    doubled = [int(d) * 2 if n % 2 else int(d) for n, d in enumerate(reversed(digits), 1)]
    return str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def card_number(digits: str, separator: str) -> str:
    number = digits + luhn(digits)
    return separator.join(number[n : n + 4] for n in range(0, len(number), 4))


def test_the_check_digit_is_the_known_one() -> None:
    assert card_number("411111111111111", "") == "4111111111111111"
    assert card_number("424242424242424", " ") == "4242 4242 4242 4242"


@given(
    st.text("0123456789", min_size=12, max_size=18),
    st.sampled_from(("", " ", "-")),
    st.sampled_from(("", "tok_", "tok_visa_")),
)
def test_no_card_number_passes_for_a_payment_token(
    digits: str, separator: str, prefix: str
) -> None:
    body = a_checkout(payment_token=prefix + card_number(digits, separator))
    with pytest.raises(ValidationError) as caught:
        Checkout.model_validate(body)
    assert [error["loc"] for error in caught.value.errors()] == [("payment_token",)]


def test_a_token_passes() -> None:
    assert Checkout.model_validate(a_checkout()).payment_token == "tok_visa"
