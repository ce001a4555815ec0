"""Which lane each event has: derived from who acts on it, and where it is in the chain."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from guarantees.declared import service_of
from guarantees.services import BY_NAME
from shared_events.catalog import CATALOG
from shared_events.lanes import FACTS
from tests.made_parts import between_marks

LANES: Final = Path(__file__).parents[1] / "shared_events" / "lanes.py"


def lanes_file() -> str:
    """shared_events/lanes.py with the lanes as they follow from what the services consume."""
    lines = "".join(f'    "{name}": "{lane}",\n' for name, lane in lanes() if lane != FACTS)
    return between_marks(LANES, f"LANES: Final = {{\n{lines}}}\n")


def lanes() -> Iterator[tuple[str, str]]:
    consumed = {name: service_of(name).consumes for name in BY_NAME}
    for entry in CATALOG.entries:
        if entry.topic not in CATALOG.compacted:
            readers = {name for name, events in consumed.items() if entry.event in events}
            yield entry.name, lane_of(entry.owner, readers, tuple(BY_NAME))


def lane_of(owner: str, readers: set[str], chain: tuple[str, ...]) -> str:
    """`chain` are the services in the order in which an order passes them; it comes back to the first."""
    place = chain.index(owner)
    if not readers:
        return FACTS
    if readers == {chain[(place + 1) % len(chain)]}:
        return "forward"
    if readers == {chain[place - 1]}:
        return "backward"
    if readers == {*chain} - {owner}:
        return "cancellation"
    return "outcome"
