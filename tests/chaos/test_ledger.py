"""The provider's ledger against what payment says: each way to disagree is told."""

from typing import Any

import pytest

from chaos.stripe_books import MovedAmounts, StripeBooks, disagreements
from guarantees.judge import StoredRow

CAPTURED = StoredRow("Captured", {"captured_minor": 500})
REFUNDED = StoredRow("Refunded", {"captured": {"captured_minor": 500}, "refunded_minor": 480})
DECLINED = StoredRow("Declined", {})


def moved(*amounts: int, order_id: str = "o-1") -> MovedAmounts:
    return {order_id: [(amount, "eur") for amount in amounts]}


@pytest.mark.parametrize(
    ("row", "charged", "given_back"),
    [(CAPTURED, [500], []), (REFUNDED, [500], [480]), (DECLINED, [], [])],
)
def test_books_that_agree(row: StoredRow, charged: list[int], given_back: list[int]) -> None:
    books = StripeBooks(charged=moved(*charged), given_back=moved(*given_back))
    assert disagreements(books, {"o-1": row}) == []


@pytest.mark.parametrize(
    ("row", "charged", "given_back"),
    [
        (CAPTURED, [500, 500], []),
        (CAPTURED, [501], []),
        (CAPTURED, [], []),
        (CAPTURED, [500], [480]),
        (REFUNDED, [500], [480, 480]),
        (REFUNDED, [500], []),
        (DECLINED, [500], []),
    ],
)
def test_books_that_disagree(row: StoredRow, charged: list[int], given_back: list[int]) -> None:
    books = StripeBooks(charged=moved(*charged), given_back=moved(*given_back))
    (problem,) = disagreements(books, {"o-1": row})
    assert problem.startswith(f"G4 {row.status}")


def test_money_of_an_unknown_order_and_a_hold_that_is_left() -> None:
    held: dict[str, Any] = {"id": "pi_9", "status": "requires_capture"}
    books = StripeBooks(charged=moved(500, order_id="o-2"), intents={"pi_9": held})
    problems = disagreements(books, {})
    assert [problem.rpartition("(")[2] for problem in problems] == ["o-2)", "pi_9)"]
