"""Reads the services' topics, from their start to at least what is their end when it begins."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import ConsumerRecord

from chassis.events import Envelope, MalformedError, topic_of
from chassis.kafka import reading
from saga_cli.topology import SERVICES
from shared_events.codec import decode_record

TOPICS = tuple(topic_of(spec.name) for spec in SERVICES)


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event, where it stands, and when it was appended."""

    topic: str
    partition: int
    offset: int
    envelope: Envelope
    timestamp_ms: int = 0


async def read(bootstrap: str, topics: Iterable[str] = TOPICS) -> list[LogEvent]:
    """All events of the topics that exist, in order within each partition.

    A record that can't be read is none of them: a line of stderr says where it stands.
    """
    found: list[LogEvent] = []
    for r in await records(bootstrap, topics):
        try:
            envelope = decode_record(r)
        except MalformedError as error:
            place = f"{r.topic}/{r.partition}/{r.offset}"
            sys.stderr.write(f"saga: the record at {place} can't be read: {error}\n")
            continue
        found.append(LogEvent(r.topic, r.partition, r.offset, envelope, r.timestamp))
    return found


async def records(bootstrap: str, topics: Iterable[str] = TOPICS) -> list[ConsumerRecord]:
    """The same, as Kafka has them."""
    async with reading(bootstrap, topics) as log:
        return [record async for batch in log.to_end() for record in batch]
