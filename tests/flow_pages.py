"""The protocol on the pages: in README.md as lines, in docs/architecture.md as diagrams."""

from collections.abc import Iterator
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Final

from guarantees.protocol import COMPENSATIONS, CONFIRMED, HOPS, STEPS
from tests.made_parts import between_marks

ROOT: Final = Path(__file__).parents[1]
README: Final = ROOT / "README.md"
ARCHITECTURE: Final = ROOT / "docs" / "architecture.md"


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


def architecture() -> str:
    """docs/architecture.md as it is, with the flow as a graph, and as text."""
    return between_marks(
        ARCHITECTURE,
        f"```mermaid\nflowchart LR\n{''.join(_edges())}```\n\n"
        "The same for a terminal; `=>` is the forward path, `<-` compensation:\n\n"
        f"```\n{''.join(_lines())}```\n",
    )


def _edges() -> Iterator[str]:
    first, last = STEPS[0], STEPS[-1]
    yield f"    customer((customer)) -->|checkout| {first.service}\n"
    for step, after in pairwise(STEPS):
        yield f"    {step.service} -->|{_short(step.forward)}| {after.service}\n"
    yield f"    {last.service} -->|{_short(last.forward)}| {first.service}\n"
    for before, step in reversed(list(pairwise(STEPS))):
        events = ", ".join(_back(step.service, before.service))
        yield f"    {step.service} -.->|{events}| {before.service}\n"


def _lines() -> Iterator[str]:
    """Services with their forward events; below each arrow what comes back, a line an event."""
    above, below = f"  {STEPS[0].service}", ["    ^", "    |"]
    for step, after in pairwise(STEPS):
        column = len(above) + 1
        above += f" =={_short(step.forward)}==> {after.service}"
        back = zip_longest(below, _back(after.service, step.service), fillvalue="")
        below = [f"{line.ljust(column)}{event and f'<-{event}-'}" for line, event in back]
    end = len(above) - 2
    yield f"{above}\n"
    yield from (f"{line.ljust(end)}|\n" for line in below)
    yield f"    +{f' {_short(STEPS[-1].forward)} '.center(end - 5, '=')}+\n"


def _back(sender: str, reader: str) -> list[str]:
    return [_short(hop.event) for hop in HOPS if (hop.by, hop.to) == (sender, reader)]


def _short(wire_type: str) -> str:
    return wire_type.rpartition(".")[0]
