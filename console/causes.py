"""Events of one order in the order of what led to what. No IO."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from chassis.events import Envelope
from console import flow
from console.model import EventRow
from console.process import envelope_of
from guarantees.judge import by_order, causes_of


class _Logged(NamedTuple):
    """As the guarantees are judged by it."""

    topic: str
    envelope: Envelope
    row: EventRow


@dataclass(frozen=True, slots=True)
class OrderStory:
    """Events, causes before what they led to; for each id that of its cause; and the edges passed."""

    events: tuple[EventRow, ...]
    causes: dict[str, str]
    path: tuple[str, ...]


def story_of(events: Iterable[EventRow]) -> OrderStory:
    ordered = [each for logged in by_order(map(_logged, events)).values() for each in logged]
    rows = tuple(each.row for each in ordered)
    return OrderStory(rows, causes_of(ordered), tuple(_path(rows, {row.id: row for row in rows})))


def _logged(event: EventRow) -> _Logged:
    return _Logged(event.topic, envelope_of(UUID(event.id), event), event)


def _path(events: Iterable[EventRow], by_id: dict[str, EventRow]) -> list[str]:
    found: dict[str, None] = {}
    for event in events:
        cause = by_id.get(event.causation_id)
        edge = flow.passed(event.service, event.causation_type, cause.type if cause else "")
        if edge is not None:
            found[edge.id] = None
    return list(found)
