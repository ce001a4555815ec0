"""What docs/testing.md says of events that overtake each other, from the interleavings themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.choreography.overtaking import Pair, found, racing
from tests.made_parts import between_marks

TESTING: Final = Path(__file__).parents[1] / "docs" / "testing.md"


def testing_page() -> str:
    """docs/testing.md, with who reads which events of one owner from two topics, and in which order."""
    head = "| reads both | first | and then, though it was published before | its answer |\n"
    rows = "".join(row for pair in racing() for row in _rows(pair))
    return between_marks(TESTING, f"{head}|---|---|---|---|\n{rows}")


def _rows(pair: Pair) -> Iterator[str]:
    for later, earlier in ((pair.one, pair.other), (pair.other, pair.one)):
        answers = [m for m in sorted(found()) if m[:3] == (pair.service, later, earlier)]
        if answers:
            shown = "; ".join(f"in {m.state}: {m.answer}" for m in answers)
            yield f"| {pair.service} | `{later}` | `{earlier}` | {shown} |\n"
    if not any(m.service == pair.service and {m.later, m.earlier} == {*pair[1:]} for m in found()):
        yield (
            f"| {pair.service} | `{pair.one}` | `{pair.other}` | never in the other order:"
            " the one follows from the service's own answer to the other |\n"
        )
