"""Amounts as payment providers take them."""

import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from

from shared_events import money

CURRENCIES = sorted(
    {"EUR", "HUF", "TWD"} | money.ZERO_DECIMAL | money.THREE_DECIMAL | money.NO_FRACTIONS
)


@pytest.mark.parametrize(
    ("currency", "exponent", "step"),
    [
        ("EUR", 2, 1),
        ("HUF", 2, 1),
        ("TWD", 2, 1),
        ("JPY", 0, 1),
        ("KRW", 0, 1),
        ("MGA", 0, 1),
        ("ISK", 2, 100),
        ("UGX", 2, 100),
        ("KWD", 3, 10),
        ("BHD", 3, 10),
        ("TND", 3, 10),
    ],
)
def test_a_currency_has_an_exponent_and_a_step(currency: str, exponent: int, step: int) -> None:
    assert (money.exponent(currency), money.step(currency)) == (exponent, step)


@given(integers(0, 10**12), sampled_from(CURRENCIES))
def test_what_is_rounded_is_payable_and_near(amount: int, currency: str) -> None:
    near, below = money.rounded(amount, currency), money.rounded_down(amount, currency)
    assert money.is_payable(near, currency)
    assert money.is_payable(below, currency)
    assert 0 <= below <= amount < below + money.step(currency)
    assert abs(near - amount) * 2 <= money.step(currency)
