"""A log in memory, with a beginning that may be deleted, and archives beside it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from chassis.message import Record
from saga_cli.archive.files import Archive
from saga_cli.log.source import HoleError, LogPartition, LogRecord, Source, Span

NUMBERS: Final = count()
NOON: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)


def an_archive() -> Archive:
    return Archive.at(f"memory://archive-{next(NUMBERS)}")


@dataclass
class MemoryLog:
    """`starts` are the first offsets that are still there."""

    kept: dict[LogPartition, list[LogRecord]] = field(default_factory=dict)
    starts: dict[LogPartition, int] = field(default_factory=dict)

    def append(self, record: Record, at: datetime = NOON) -> LogRecord:
        records = self.kept.setdefault(LogPartition(record.topic, record.partition), [])
        offset = records[-1].offset + 1 if records else 0
        content = (record.key, record.value, record.headers, int(at.timestamp() * 1000))
        records.append(LogRecord(record.topic, record.partition, offset, *content))
        return records[-1]

    def fill(self, topic: str, partition: int, number: int, at: datetime = NOON) -> None:
        """Records of any bytes, a second apart."""
        for n in range(number):
            raw = bytes([n % 256, 0, 255])
            headers = (("ce_type", raw), ("empty", None), ("ce_type", b"again"))
            key = None if n % 7 == 3 else b"key"
            value = None if n % 5 == 2 else raw
            record = Record(topic, partition, 0, key, value, headers)
            self.append(record, at + timedelta(seconds=n))

    async def spans(self, topics: Iterable[str]) -> dict[LogPartition, Span]:
        wanted = set(topics)
        return {
            place: Span(self.starts.get(place, 0), kept[-1].offset + 1 if kept else 0)
            for place, kept in self.kept.items()
            if place.topic in wanted
        }

    async def read(self, spans: Mapping[LogPartition, Span]) -> AsyncIterator[list[LogRecord]]:
        for place, span in spans.items():
            if span.start < min(self.starts.get(place, 0), span.end):
                raise HoleError(f"{place.topic}/{place.partition} begins at {self.starts[place]}")
            found = [k for k in self.kept[place] if span.start <= k.offset < span.end]
            for n in range(0, len(found), 3):
                yield found[n : n + 3]

    async def offsets_at(
        self, instant: datetime, places: Iterable[LogPartition]
    ) -> Mapping[LogPartition, int]:
        at_ms = instant.timestamp() * 1000
        found = {}
        for place in places:
            kept = [k for k in self.kept[place] if k.offset >= self.starts.get(place, 0)]
            end = self.kept[place][-1].offset + 1 if self.kept[place] else 0
            later = (k.offset for k in kept if k.timestamp_ms >= at_ms)
            found[place] = next(later, end)
        return found


def all_of(source: Source, place: LogPartition, span: Span | None = None) -> list[LogRecord]:
    async def read() -> list[LogRecord]:
        complete = span or (await source.spans([place.topic]))[place]
        return [kept async for batch in source.read({place: complete}) for kept in batch]

    return asyncio.run(read())


def at_all(source: Source, instant: datetime, *places: LogPartition) -> Mapping[LogPartition, Any]:
    return asyncio.run(source.offsets_at(instant, places))
