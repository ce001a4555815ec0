"""Compares what payments say with the money that moved, by the provider's own ledger."""

from collections.abc import Iterable, Mapping

from chaos.stripe_books import Movement, StripeBooks
from guarantees.judge import StoredRow


def disagreements(books: StripeBooks, payments: Mapping[str, StoredRow]) -> list[str]:
    """Order by order, amount by amount; and no card is left with a hold."""
    charged, given_back = _by_order(books.charged), _by_order(books.given_back)
    problems = [
        f"G2 the provider moved money for an order that payment does not know ({order_id})"
        for order_id in charged.keys() | given_back.keys()
        if order_id not in payments
    ]
    for order_id, payment in payments.items():
        reported = _reported(payment)
        moved = (charged.get(order_id, []), given_back.get(order_id, []))
        if moved != reported:
            problems.append(
                f"G4 {payment.status}: charged and refunded {moved}, not {reported} ({order_id})"
            )
    held = [i["id"] for i in books.intents.values() if i["status"] == "requires_capture"]
    return problems + [f"G2 the provider still holds money on a card ({id_})" for id_ in held]


def _reported(payment: StoredRow) -> tuple[list[int], list[int]]:
    detail = payment.detail
    if payment.status == "Captured":
        return [detail["captured_minor"]], []
    if payment.status == "Refunded":
        return [detail["captured"]["captured_minor"]], [detail["refunded_minor"]]
    return [], []


def _by_order(movements: Iterable[Movement]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for movement in movements:
        found.setdefault(movement.order_id, []).append(movement.amount_minor)
    return found
