"""The log as `saga verify` reads it: what it can't read is a difference."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import TypeAlias

from chassis.events import Envelope, MalformedError
from chassis.message import OutboxRow, Record
from saga_cli.log import events
from saga_cli.log.source import LogPartition, LogRecord, Source, Span
from saga_cli.verify.results import ReadProgress, ServiceResult
from shared_events.codec import decode

Ends: TypeAlias = Mapping[LogPartition, int]


async def ends_of(source: Source, topics: Iterable[str]) -> dict[LogPartition, int]:
    return {place: span.end for place, span in sorted((await source.spans(topics)).items())}


async def read(
    source: Source, place: LogPartition, span: Span, progress: ReadProgress
) -> AsyncIterator[list[LogRecord]]:
    async for batch in source.read(place, span):
        yield batch
        progress(len(batch), 0)


def own_events(result: ServiceResult, batch: Iterable[LogRecord]) -> Iterator[tuple[int, Envelope]]:
    """Events of the service with their offsets; one that can't be read is a difference."""

    def unreadable(record: Record, error: MalformedError) -> None:
        place = f"{record.topic}/{record.partition}/{record.offset}"
        result.differ(record.subject, f"the record at {place} can't be read", rebuilt=str(error))

    return events.own_events(result.service, batch, unreadable)


def pending_events(topic: str, rows: Iterable[OutboxRow]) -> Iterator[Envelope]:
    return (decode(row.value, row.headers) for row in rows if row.topic == topic)
