"""Compares what payments say with the money that moved, by the provider's own ledger."""

from collections.abc import Mapping

from chaos.stripe_books import Moved, StripeBooks
from guarantees.judge import StoredRow


def disagreements(books: StripeBooks, payments: Mapping[str, StoredRow]) -> list[str]:
    """Order by order, amount by amount; and no card is left with a hold."""
    problems = [
        f"G2 the provider moved money for an order that payment does not know ({order_id})"
        for order_id in books.charged.keys() | books.given_back.keys()
        if order_id not in payments
    ]
    for order_id, payment in payments.items():
        reported = _reported(payment)
        moved = (_amounts(books.charged, order_id), _amounts(books.given_back, order_id))
        if moved != reported:
            problems.append(
                f"G4 {payment.status}: charged and refunded {moved}, not {reported} ({order_id})"
            )
    held = [i["id"] for i in books.intents.values() if i["status"] == "requires_capture"]
    return problems + [f"G2 the provider still holds money on a card ({id_})" for id_ in held]


def _amounts(moved: Moved, order_id: str) -> list[int]:
    return [amount_minor for amount_minor, _ in moved.get(order_id, ())]


def _reported(payment: StoredRow) -> tuple[list[int], list[int]]:
    detail = payment.detail
    if payment.status == "Captured":
        return [detail["captured_minor"]], []
    if payment.status == "Refunded":
        return [detail["captured"]["captured_minor"]], [detail["refunded_minor"]]
    return [], []
