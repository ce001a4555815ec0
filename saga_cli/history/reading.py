"""Events of one order without reading all of the log, and those of all orders that somebody looks for."""

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final, TypeAlias
from uuid import UUID

from chassis import clock
from chassis.events import name_of, type_of
from chassis.kafka import Cluster, homes_of, reading
from saga_cli.log.kafka import kept_of
from saga_cli.log.reader import TOPICS, LogEvent, logged, read_spans
from saga_cli.log.source import Limit, LogPartition, LogRecord, Source, Span, UnreadableError
from saga_cli.progress import no_progress
from saga_cli.terminal import plain
from shared_events.catalog import CATALOG

EARLIER: Final = timedelta(hours=1)
"""So far the clocks of two services are never apart."""
VERSION_7: Final = 7
NOW: Final = Limit()


async def events_of(
    source: Source, subject: str, unread: list[str], until: Limit = NOW
) -> list[LogEvent]:
    """All that the services published of an order; each topic has it in one partition.

    `until` names partitions as topic/partition; raises UnreadableError for one that is in no topic of
    the services.
    """
    spans = await _cut(source, await homes(source, subject), begun_at(subject), until)
    return [
        event
        async for batch in read_spans(source, spans, no_progress)
        for kept in batch
        if kept.subject == subject and (event := logged(kept, unread))
    ]


async def _cut(
    source: Source, spans: Mapping[LogPartition, Span], since: datetime | None, until: Limit
) -> dict[LogPartition, Span]:
    starts = await source.offsets_at(since, spans) if since and spans else {}
    if until.instant is not None:
        ends = await source.offsets_at(until.instant, spans) if spans else {}
    else:
        places = {str(place): place for place in await source.spans(TOPICS)} if until else {}
        if unknown := sorted(until.offsets.keys() - places.keys()):
            raise UnreadableError(f"there is no partition {unknown[0]}")
        ends = {places[name]: offset for name, offset in until.offsets.items()}
    return {p: s.within(starts.get(p, 0), ends.get(p, s.end)) for p, s in spans.items()}


async def homes(source: Source, subject: str) -> dict[LogPartition, Span]:
    """Where each topic keeps a key, by the partitions that it has now and may have had before."""
    spans = await source.spans(TOPICS)
    numbers, key = Counter(place.topic for place in spans), subject.encode()
    found = {topic: homes_of(key, count) for topic, count in numbers.items()}
    return {place: span for place, span in spans.items() if place.partition in found[place.topic]}


def begun_at(subject: str) -> datetime | None:
    """A time before an order's first event: its id holds the instant at which it was made."""
    try:
        id_ = UUID(subject)
        at = datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)
    except (ValueError, OverflowError):
        return None
    return at - EARLIER if id_.version == VERSION_7 else None


POLL_S: Final = 0.2
Reached: TypeAlias = Mapping[tuple[str, int], int]
"""By topic and partition, the next offset to read."""


@dataclass
class Looked:
    """What is looked for. Instants are by when the log took a record; at most `limit` are kept."""

    pattern: str = ""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None
    partition: int | None = None
    limit: int = 1000
    unread: list[str] = field(default_factory=list)

    async def newest(self, source: Source) -> tuple[list[LogEvent], Reached]:
        """In the order of time; and up to where the log was read."""
        spans = await self._spans(source)
        found: list[tuple[int, LogPartition, int, LogRecord]] = []
        async for batch in read_spans(source, spans, no_progress):
            for kept in filter(self.wants, batch):
                heapq.heappush(found, (kept.timestamp_ms, kept.place, kept.offset, kept))
                if len(found) > self.limit:
                    heapq.heappop(found)
        events = self.read(kept for *_, kept in sorted(found))
        return events, {place: span.end for place, span in spans.items()}

    async def coming(
        self, cluster: Cluster, reached: Reached, stopping: asyncio.Event
    ) -> AsyncIterator[list[LogEvent]]:
        """What is appended from there on, until somebody stops it."""
        async with reading(cluster, TOPICS, reached) as log:
            while not stopping.is_set():
                async for batch in log.to_end():
                    there = (kept_of(r) for r in batch if (r.topic, r.partition) in reached)
                    wanted = filter(self.wants, there)
                    yield self.read(sorted(wanted, key=lambda kept: kept.timestamp_ms))
                await clock.wait_for(stopping, POLL_S)

    def wants(self, kept: LogRecord) -> bool:
        by_type = not self.pattern or is_of_type(type_of(kept.headers), self.pattern)
        return by_type and self.subject in {"", kept.subject}

    def read(self, kept: Iterable[LogRecord]) -> list[LogEvent]:
        return [event for each in kept if (event := logged(each, self.unread))]

    async def _spans(self, source: Source) -> dict[LogPartition, Span]:
        """What of each partition has to be read."""
        found = await (homes(source, self.subject) if self.subject else source.spans(TOPICS))
        if self.partition is not None:
            there = {place.partition for place in found}
            found = {p: span for p, span in found.items() if p.partition == self.partition}
            if there and not found:
                whose = f"of {self.subject}" if self.subject else "of the topics"
                known = ", ".join(map(str, sorted(there)))
                raise UnreadableError(f"partition {self.partition} is none {whose}: {known}")
        found = await _cut(source, found, self.since, Limit(self.until))
        if self.pattern or self.subject:
            return found
        return {
            place: span.within(span.end - self.limit, span.end) for place, span in found.items()
        }


def is_of_type(wire_type: str, pattern: str) -> bool:
    """By its name with or without the version, or a pattern of either."""
    names = (wire_type, wire_type.rpartition(".")[0])
    return any(fnmatchcase(name, pattern) for name in names)


def why_unknown(pattern: str) -> str:
    """What is wrong with a pattern that no event has, in any version; "" for another."""
    known = [name for entry in CATALOG.entries for name in entry.wire_types]
    if not pattern or any(is_of_type(name, pattern) for name in known):
        return ""
    near = get_close_matches(pattern, {*known, *map(name_of, known)}, n=3)
    instead = f"did you mean {', '.join(near)}?" if near else "`saga schema show` lists them"
    return f"there is no event {plain(pattern)!r}: {instead}"
