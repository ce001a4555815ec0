"""Which state has met which message, of all that may meet."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final, get_args

from pydantic_core import from_json

from chassis.manifest import Manifest
from guarantees.services import SERVICES
from shared_events.catalog import CATALOG

Cell = tuple[str, str, str]
CELLS: Final = Path(__file__).parent / "cells.json"
"""Made by asking the rules themselves, on samples of every state and message."""
ANY: Final = "*"
NO_ORDER: Final = "its key is no order's, so that it meets no order's state"
DROPPED: Final = "the timer is dropped with the state that set it; only one under way is met"
ONE_OUTCOME: Final = "an effect is gone with its outcome, which the inbox knows by one id"
PAID: Final = "what is confirmed was paid, and is not declined"
REFUSED: Final = "an order whose points were rejected is not confirmed"
BY_HAND: Final[dict[Cell, str]] = {
    ("order", ANY, "PlaceOrder"): "each request has a new id",
    ("inventory", "Committed", "PaymentDeclined"): PAID,
    ("shipping", "Approved", "PointsRejected"): REFUSED,
    ("shipping", "Dispatching", "PointsRejected"): REFUSED,
    ("shipping", "Dispatched", "PointsRejected"): REFUSED,
}


def _of_manifest(manifest: Manifest) -> Iterator[tuple[Cell, str]]:
    for timer in manifest.timers.values():
        yield (manifest.name, ANY, timer), DROPPED
    for call in manifest.calls:
        for outcome in call.outcomes:
            yield (manifest.name, ANY, outcome), ONE_OUTCOME
    for message in get_args(import_module(f"{manifest.module}.domain").Input):
        if message not in CATALOG.by_event and "order_id" not in message.__dataclass_fields__:
            yield (manifest.name, ANY, message.__name__), NO_ORDER


EXPLAINED: Final = BY_HAND | {cell: why for m in SERVICES for cell, why in _of_manifest(m)}


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
