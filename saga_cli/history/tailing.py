"""Events of all orders that somebody looks for: the newest, and those that come."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

from chassis import clock
from chassis.events import name_of, type_of
from chassis.kafka import reading
from saga_cli.history.reading import homes
from saga_cli.log.kafka import kept_of
from saga_cli.log.reader import TOPICS, LogEvent, logged
from saga_cli.log.source import LogPartition, LogRecord, Source, Span, UnreadableError
from saga_cli.terminal import plain
from shared_events.catalog import ENTRIES

POLL_S: Final = 0.2


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

    async def newest(self, source: Source) -> tuple[list[LogEvent], dict[LogPartition, int]]:
        """In the order of time; and up to where the log was read."""
        spans = await self._spans(source)
        found: list[tuple[int, LogPartition, int, LogRecord]] = []
        for place, span in spans.items():
            async for batch in source.read(place, span):
                for kept in filter(self.wants, batch):
                    heapq.heappush(found, (kept.timestamp_ms, place, kept.record.offset, kept))
                    if len(found) > self.limit:
                        heapq.heappop(found)
        events = self.read(kept for *_, kept in sorted(found))
        return events, {place: span.end for place, span in spans.items()}

    async def coming(
        self, bootstrap: str, reached: dict[LogPartition, int], stopping: asyncio.Event
    ) -> AsyncIterator[list[LogEvent]]:
        """What is appended from there on, until somebody stops it."""
        since = {(place.topic, place.partition): at for place, at in reached.items()}
        async with reading(bootstrap, TOPICS, since) as log:
            while not stopping.is_set():
                async for batch in log.to_end():
                    there = (
                        kept_of(r) for r in batch if LogPartition(r.topic, r.partition) in reached
                    )
                    wanted = filter(self.wants, there)
                    yield self.read(sorted(wanted, key=lambda kept: kept.timestamp_ms))
                await clock.wait_for(stopping, POLL_S)

    def wants(self, kept: LogRecord) -> bool:
        by_type = not self.pattern or is_of_type(type_of(kept.record.headers), self.pattern)
        return by_type and self.subject in {"", kept.record.subject}

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
        starts = await source.offsets_at(self.since, found) if self.since and found else {}
        ends = await source.offsets_at(self.until, found) if self.until and found else {}
        return dict(self._within(found, dict(starts), dict(ends)))

    def _within(
        self,
        spans: dict[LogPartition, Span],
        starts: dict[LogPartition, int],
        ends: dict[LogPartition, int],
    ) -> Iterator[tuple[LogPartition, Span]]:
        for place, span in spans.items():
            end = min(span.end, ends.get(place, span.end))
            start = max(span.start, starts.get(place, 0))
            if not (self.pattern or self.subject):
                start = max(start, end - self.limit)
            yield place, Span(min(start, end), end)


def is_of_type(wire_type: str, pattern: str) -> bool:
    """By its name with or without the version, or a pattern of either."""
    names = (wire_type, wire_type.rpartition(".")[0])
    return any(fnmatchcase(name, pattern) for name in names)


def why_unknown(pattern: str) -> str:
    """What is wrong with a pattern that no event has, in any version; "" for another."""
    known = [name for entry in ENTRIES for name in entry.wire_types]
    if not pattern or any(is_of_type(name, pattern) for name in known):
        return ""
    near = get_close_matches(pattern, {*known, *map(name_of, known)}, n=3)
    instead = f"did you mean {', '.join(near)}?" if near else "`saga schema show` lists them"
    return f"there is no event {plain(pattern)!r}: {instead}"
