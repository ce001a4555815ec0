"""Which state has met which message, of all that may meet."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic_core import from_json

Cell = tuple[str, str, str]
CELLS: Final = Path(__file__).parent / "cells.json"
"""Made by asking the rules themselves, on samples of every state and message."""
ANY: Final = "*"
NO_ORDER: Final = "its key is no order's, so that it meets no order's state"
ONE_TOPIC: Final = "both come by one topic, in their order"
DROPPED: Final = "the timer is dropped with the state that set it; only one under way is met"
ONE_OUTCOME: Final = "an effect is gone with its outcome, which the inbox knows by one id"
REFUSED: Final = "an order whose points were rejected is not confirmed"
EXPLAINED: Final[dict[Cell, str]] = {
    ("order", ANY, "PriceProduct"): NO_ORDER,
    ("order", ANY, "PlaceOrder"): "each request has a new id",
    ("order", ANY, "DeadlinePassed"): DROPPED,
    ("inventory", ANY, "SetStock"): NO_ORDER,
    ("inventory", ANY, "ReceiveStock"): NO_ORDER,
    ("inventory", ANY, "WriteOffStock"): NO_ORDER,
    ("inventory", ANY, "ReturnStock"): NO_ORDER,
    ("inventory", "Absent", "OrderCancellationRequested"): ONE_TOPIC,
    ("inventory", "Noted", "OrderPlaced"): ONE_TOPIC,
    ("inventory", "Noted", "OrderCancellationRequested"): ONE_TOPIC,
    (
        "inventory",
        "Committed",
        "PaymentDeclined",
    ): "what is confirmed was paid, and is not declined",
    ("payment", ANY, "CaptureSucceeded"): ONE_OUTCOME,
    ("payment", ANY, "CaptureDeclined"): ONE_OUTCOME,
    ("payment", ANY, "RefundSucceeded"): ONE_OUTCOME,
    ("payment", ANY, "RefundRefused"): ONE_OUTCOME,
    ("shipping", ANY, "DispatchDue"): DROPPED,
    ("shipping", ANY, "Booked"): ONE_OUTCOME,
    ("shipping", ANY, "BookingRefused"): ONE_OUTCOME,
    ("shipping", ANY, "HandedOver"): ONE_OUTCOME,
    ("shipping", ANY, "BookingCancelled"): ONE_OUTCOME,
    ("shipping", "Approved", "PointsRejected"): REFUSED,
    ("shipping", "Dispatching", "PointsRejected"): REFUSED,
    ("shipping", "Dispatched", "PointsRejected"): REFUSED,
    ("loyalty", ANY, "SetStanding"): NO_ORDER,
}


@dataclass(frozen=True, slots=True)
class Coverage:
    """`explained` cells can't be met: the rules call them impossible, or the reason is given here."""

    reached: int
    total: int
    explained: dict[Cell, str]
    missing: list[Cell]


def of(met: Mapping[Cell, int]) -> Coverage:
    reached, total = 0, 0
    explained: dict[Cell, str] = {}
    missing: list[Cell] = []
    for service, states in from_json(CELLS.read_bytes()).items():
        for state, messages in states.items():
            for message, answer in messages.items():
                total += 1
                cell = (service, state, message)
                why = EXPLAINED.get(cell) or EXPLAINED.get((service, ANY, message))
                if met.get(cell):
                    reached += 1
                elif answer == "impossible":
                    explained[cell] = "impossible by the rules"
                elif why:
                    explained[cell] = why
                else:
                    missing.append(cell)
    return Coverage(reached, total, explained, missing)
