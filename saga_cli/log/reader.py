"""Records as events: all of the topics, to at least what is their end at the beginning; or a batch."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from aiokafka import ConsumerRecord

from chassis.events import Envelope, MalformedError, topic_of
from chassis.kafka import UNREADABLE, reading
from chassis.message import Record
from saga_cli.log.kafka import kept_of
from saga_cli.log.source import LogRecord
from saga_cli.terminal import plain
from saga_cli.topology import SERVICES
from shared_events.codec import decode_record

TOPICS = tuple(topic_of(spec.name) for spec in SERVICES)
Unreadable = Callable[[Record, MalformedError], None]


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event, where it stands, and when it was appended."""

    topic: str
    partition: int
    offset: int
    envelope: Envelope
    timestamp_ms: int = 0


def position_of(record: Record) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"


async def read(bootstrap: str, topics: Iterable[str] = TOPICS) -> list[LogEvent]:
    """All events of the topics that exist, in order within each partition.

    A record that can't be read is none of them: a line of stderr says where it stands.
    """
    unread: list[str] = []
    found = [logged(kept_of(record), unread) for record in await records(bootstrap, topics)]
    for place, _, why in (each.partition(": ") for each in unread):
        sys.stderr.write(f"saga: the record at {place} can't be read: {why}\n")
    return [event for event in found if event]


async def records(bootstrap: str, topics: Iterable[str] = TOPICS) -> list[ConsumerRecord]:
    """The same, as Kafka has them."""
    async with reading(bootstrap, topics) as log:
        return [record async for batch in log.to_end() for record in batch]


def logged(kept: LogRecord, unread: list[str]) -> LogEvent | None:
    """An event; what can't be read is noted in `unread`."""
    record = kept.record
    try:
        envelope = decode_record(record)
    except MalformedError as error:
        unread.append(f"{position_of(record)}: {error}")
        return None
    return LogEvent(record.topic, record.partition, record.offset, envelope, kept.timestamp_ms)


def print_unread(unread: list[str]) -> None:
    if unread:
        sys.stderr.write(f"saga: {len(unread)} can't be read, such as {plain(unread[0])}\n")


def own_events(
    service: str, batch: Iterable[LogRecord], unreadable: Unreadable
) -> Iterator[tuple[int, Envelope]]:
    """Of a service, without what others left in its topic; with their offsets.

    One that can't be read is reported, also where only it may be the service's.
    """
    source = f"/{service}".encode()
    for record in (kept.record for kept in batch):
        headers = dict(record.headers)
        if why := headers.get(UNREADABLE):
            unreadable(record, MalformedError(why.decode("utf-8", "replace")))
        elif headers.get("ce_source") == source:
            try:
                yield record.offset, decode_record(record)
            except MalformedError as error:
                unreadable(record, error)
