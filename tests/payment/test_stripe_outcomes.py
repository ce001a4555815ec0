"""What is sent to Stripe, and read of its answers, beside its calls."""

import pytest

from payment_svc.stripe_outcomes import quoted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("o-1:capture:1", "'o-1:capture:1'"),
        ("o' OR metadata['effect']:'x", r"'o\' OR metadata[\'effect\']:\'x'"),
        ("o\\' OR amount>0", r"'o\\\' OR amount>0'"),
    ],
)
def test_no_text_ends_its_quotes_in_a_search(text: str, expected: str) -> None:
    """A forged order's id would otherwise find another's payment."""
    assert quoted(text) == expected
