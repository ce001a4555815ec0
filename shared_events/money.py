"""Currencies as payment providers count them: how fine, and in which steps amounts may be.

An amount is in minor units: 10**exponent of them are one unit of its currency. Providers take only
multiples of a step. The tables are Stripe's (https://docs.stripe.com/currencies: "Zero-decimal
currencies", "Special cases", "Three-decimal currencies"); where it differs from ISO 4217, as for MGA, ISK
and UGX, amounts are as the provider counts them. A currency that no table names has two decimals and
any amount. HUF and TWD have steps in payouts only, not in charges and refunds.
"""

from typing import Final

ZERO_DECIMAL: Final = frozenset({
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA",
    "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF",
})  # fmt: skip
THREE_DECIMAL: Final = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])
"""The last digit is always 0."""
NO_FRACTIONS: Final = frozenset({"ISK", "UGX"})
"""Without decimals, but counted with two, which are always 00."""


def exponent(currency: str) -> int:
    """How many decimals its amounts have."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def step(currency: str) -> int:
    """Amounts are multiples of so many minor units."""
    if currency in NO_FRACTIONS:
        return 100
    return 10 if currency in THREE_DECIMAL else 1


def is_payable(amount_minor: int, currency: str) -> bool:
    return amount_minor % step(currency) == 0


def rounded_down(amount_minor: int, currency: str) -> int:
    return amount_minor - amount_minor % step(currency)


def rounded(amount_minor: int, currency: str) -> int:
    """To the nearest step, half up."""
    return rounded_down(amount_minor + step(currency) // 2, currency)
