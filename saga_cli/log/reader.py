"""Records as events: all of the topics, to at least what is their end at the beginning; or a batch."""

import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import Final

from aiokafka import ConsumerRecord, TopicPartition

from chassis.events import Envelope, MalformedError
from chassis.kafka import PARTITIONS, Cluster, logged_event, reading
from chassis.kafka import own_events as _own_events
from chassis.message import Record
from saga_cli.log.kafka import kept_of
from saga_cli.log.source import LogPartition, LogRecord, Source, Span
from saga_cli.progress import ReadProgress
from saga_cli.terminal import plain
from saga_cli.topology import SERVICES
from shared_events.catalog import CATALOG

LANES: Final = tuple(topic for spec in SERVICES for topic in CATALOG.lanes_of(spec.name))
"""The topics in which events are published that are kept for ever."""
TOPICS: Final = tuple(topic for spec in SERVICES for topic in CATALOG.log_of(spec.name))
"""Those, and the ones of earlier layouts."""
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


async def read(cluster: Cluster, topics: Iterable[str] = TOPICS) -> list[LogEvent]:
    """All events of the topics that exist, in order within each partition.

    A record that can't be read is none of them: stderr says that there are such.
    """
    unread: list[str] = []
    found = [logged(kept_of(record), unread) for record in await records(cluster, topics)]
    print_unread(unread)
    return [event for event in found if event]


async def records(cluster: Cluster, topics: Iterable[str] = TOPICS) -> list[ConsumerRecord]:
    """The same, as Kafka has them."""
    async with reading(cluster, topics) as log:
        return [record async for batch in log.to_end() for record in batch]


def logged(kept: LogRecord, unread: list[str], parts: int = 1) -> LogEvent | None:
    """An event; what can't be read, or is none of its topic's owner, is noted in `unread`."""
    try:
        envelope = logged_event(CATALOG, kept, parts)
        return LogEvent(*kept.place, kept.offset, envelope, kept.timestamp_ms)
    except MalformedError as error:
        unread.append(f"{position_of(kept)}: {error}")
        return None


def print_unread(unread: list[str]) -> None:
    if unread:
        sys.stderr.write(f"saga: {len(unread)} can't be read, such as {plain(unread[0])}\n")


async def read_spans(
    source: Source, spans: Mapping[LogPartition, Span], progress: ReadProgress
) -> AsyncIterator[list[LogRecord]]:
    """As `Source.read`, with progress; spans without a length are not asked for."""
    if left := {place: span for place, span in spans.items() if span.start < span.end}:
        async for batch in source.read(left):
            yield batch
            progress(len(batch), 0)


def by_number(spans: Mapping[LogPartition, Span]) -> list[dict[LogPartition, Span]]:
    """Parts that hold all records of a key, whatever numbers of partitions the topics have or had.

    A key is in the partition of its hash, modulo how many there were when it was published. So what
    divides all of these numbers, and with them that which a topic is made with, parts no key.
    """
    parts = parts_of(spans)
    found: dict[int, dict[LogPartition, Span]] = {}
    for place, span in spans.items():
        found.setdefault(place.partition % parts, {})[place] = span
    return list(found.values())


def parts_of(spans: Iterable[LogPartition | TopicPartition]) -> int:
    """How many such parts there are; a record's partition leaves the same remainder as its key's hash."""
    return gcd(PARTITIONS, *Counter(place.topic for place in spans).values())
