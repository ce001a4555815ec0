"""Events of the log with where they stand, and those of one order without reading all of it."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from chassis.sender import partition_of
from saga_cli.log.reader import TOPICS, LogEvent, logged
from saga_cli.log.source import LogPartition, Source, Span, UnreadableError

EARLIER: Final = timedelta(hours=1)
"""So far the clocks of two services are never apart."""
VERSION_7: Final = 7


@dataclass(frozen=True, slots=True)
class HistoryLimit:
    """A point in time: an instant, or by topic/partition the first offset to leave out."""

    instant: datetime | None = None
    offsets: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.instant is not None or bool(self.offsets)

    async def ends(
        self, source: Source, spans: Mapping[LogPartition, Span]
    ) -> Mapping[LogPartition, int]:
        """Raises UnreadableError for a place that is in no topic of the services."""
        if self.instant is not None:
            return await source.offsets_at(self.instant, spans)
        known = await source.spans(TOPICS) if self.offsets else {}
        places = {f"{place.topic}/{place.partition}": place for place in known}
        if unknown := sorted(self.offsets.keys() - places.keys()):
            raise UnreadableError(f"there is no partition {unknown[0]}")
        return {places[name]: offset for name, offset in self.offsets.items()}


NOW: Final = HistoryLimit()


async def events_of(
    source: Source, subject: str, unread: list[str], until: HistoryLimit = NOW
) -> list[LogEvent]:
    """All that the services published of an order; each topic has it in one partition."""
    spans = await homes(source, subject)
    begun = begun_at(subject)
    starts = await source.offsets_at(begun, spans) if begun else {}
    ends = await until.ends(source, spans)

    async def of(place: LogPartition, span: Span) -> list[LogEvent]:
        within = Span(
            max(span.start, starts.get(place, 0)), min(span.end, ends.get(place, span.end))
        )
        kept = [
            kept
            async for batch in source.read(place, within)
            for kept in batch
            if kept.record.subject == subject
        ]
        found = (logged(each, unread) for each in kept)
        owner = f"/{place.topic.partition('.')[0]}"
        return [each for each in found if each and each.envelope.source == owner]

    found = await asyncio.gather(*(of(place, span) for place, span in spans.items()))
    return [event for events in found for event in events]


async def homes(
    source: Source, subject: str, topics: Iterable[str] = TOPICS
) -> dict[LogPartition, Span]:
    """Where each topic keeps a key, by the partitions that it has now."""
    spans = await source.spans(topics)
    numbers: dict[str, list[int]] = {}
    for place in spans:
        numbers.setdefault(place.topic, []).append(place.partition)
    key = subject.encode()
    found = {
        LogPartition(t, partition_of(key, tuple(sorted(known)))) for t, known in numbers.items()
    }
    return {place: span for place, span in spans.items() if place in found}


def begun_at(subject: str) -> datetime | None:
    """A time before an order's first event: its id holds the instant at which it was made."""
    try:
        id_ = UUID(subject)
        at = datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)
    except (ValueError, OverflowError):
        return None
    return at - EARLIER if id_.version == VERSION_7 else None
