"""Orders as cases, from the console's own rows, as `saga flow` and `saga variants` take them. No IO."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple
from uuid import UUID

from chassis.events import Envelope
from console.model import EventRow
from saga_cli.history.showing import story
from saga_cli.log.reader import LogEvent
from saga_cli.observed.cases import Case

COLUMNS: Final = "order_id, id, type, service, sequence, time, causation_id, causation_type, topic"


class ProcessEvent(NamedTuple):
    """COLUMNS of an event."""

    order_id: str
    id: UUID
    type: str
    service: str
    sequence: int
    time: datetime
    causation_id: str
    causation_type: str
    topic: str


def cases_of(events: Iterable[ProcessEvent]) -> Iterator[Case]:
    """Events come by order."""
    for order_id, some in groupby(events, attrgetter("order_id")):
        yield Case(order_id, story(map(_logged, some), order_id))


def _logged(event: ProcessEvent) -> LogEvent:
    return LogEvent(event.topic, 0, 0, envelope_of(event.id, event))


def envelope_of(id_: UUID, event: EventRow | ProcessEvent) -> Envelope:
    """What led to what, without the payload and the trace."""
    return Envelope(
        id=id_,
        type=event.type,
        source=f"/{event.service}",
        subject=event.order_id,
        time=event.time,
        sequence=event.sequence,
        saga_id=event.order_id,
        causation_id=event.causation_id,
        causation_type=event.causation_type,
        traceparent="",
        event=None,
    )
