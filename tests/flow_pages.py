"""The protocol in README.md: the two directions of an order, and where the rules stand."""

from pathlib import Path
from typing import Final

from guarantees.protocol import COMPENSATIONS, CONFIRMED, STEPS
from tests.made_parts import between_marks

ROOT: Final = Path(__file__).parents[1]
README: Final = ROOT / "README.md"


def readme() -> str:
    """README.md as it is, with the two directions of an order and the services' rules."""
    forward = " → ".join(_short(event) for event in (*(s.forward for s in STEPS), CONFIRMED))
    back = " → ".join(map(_short, COMPENSATIONS))
    rules = ",\n".join(f"[{step.service}]({step.service}_svc/domain.py)" for step in STEPS)
    return between_marks(
        README,
        f"1. Forward: `{forward}`\n"
        f"2. Backward, from where it was refused or cancelled: `{back}`\n"
        "3. Every service reads a cancellation; the first one that has not acted yet starts the "
        "compensation.\n\n"
        f"The rules of each service are one file without IO:\n{rules}.\n",
    )


def _short(wire_type: str) -> str:
    return wire_type.rpartition(".")[0]
