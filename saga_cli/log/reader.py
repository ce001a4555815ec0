"""Records as events: all of the topics, to at least what is their end at the beginning; or a batch."""

import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiokafka import ConsumerRecord

from chassis.events import Envelope, MalformedError, topic_of
from chassis.kafka import own_events as _own_events
from chassis.kafka import reading
from chassis.message import Record
from saga_cli.log.kafka import kept_of
from saga_cli.log.source import LogPartition, LogRecord, Source, Span
from saga_cli.progress import ReadProgress
from saga_cli.terminal import plain
from saga_cli.topology import SERVICES
from shared_events.catalog import CATALOG
from shared_events.codec import decode_record

TOPICS = tuple(topic_of(spec.name) for spec in SERVICES)
own_events: Final = partial(_own_events, CATALOG)


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event, where it stands, and when it was appended."""

    topic: str
    partition: int
    offset: int
    envelope: Envelope
    timestamp_ms: int = 0


def position_of(record: Record | LogEvent) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"


async def read(bootstrap: str, topics: Iterable[str] = TOPICS) -> list[LogEvent]:
    """All events of the topics that exist, in order within each partition.

    A record that can't be read is none of them: stderr says that there are such.
    """
    unread: list[str] = []
    found = [logged(kept_of(record), unread) for record in await records(bootstrap, topics)]
    print_unread(unread)
    return [event for event in found if event]


async def records(bootstrap: str, topics: Iterable[str] = TOPICS) -> list[ConsumerRecord]:
    """The same, as Kafka has them."""
    async with reading(bootstrap, topics) as log:
        return [record async for batch in log.to_end() for record in batch]


def logged(kept: LogRecord, unread: list[str]) -> LogEvent | None:
    """An event; what can't be read, or is none of its topic's owner, is noted in `unread`."""
    try:
        return LogEvent(*kept.place, kept.offset, decode_record(kept), kept.timestamp_ms)
    except MalformedError as error:
        unread.append(f"{position_of(kept)}: {error}")
        return None


def print_unread(unread: list[str]) -> None:
    if unread:
        sys.stderr.write(f"saga: {len(unread)} can't be read, such as {plain(unread[0])}\n")


async def read_spans(
    source: Source, spans: Mapping[LogPartition, Span], progress: ReadProgress
) -> AsyncIterator[list[LogRecord]]:
    """One partition after the other, in batches."""
    for place, span in spans.items():
        if span.start < span.end:
            async for batch in source.read(place, span):
                yield batch
                progress(len(batch), 0)
