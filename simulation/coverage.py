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
EXPLAINED: Final[dict[Cell, str]] = {
    ("order", ANY, "PriceProduct"): "its key is a product's, which has no order's state",
    ("order", ANY, "PlaceOrder"): "each request has a new id",
    ("inventory", ANY, "SetStock"): "its key is a product's, which has no order's state",
    ("inventory", ANY, "ReceiveStock"): "its key is a product's, which has no order's state",
    ("loyalty", ANY, "SetStanding"): "its key is a customer's, which has no order's state",
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
