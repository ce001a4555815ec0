"""Reads the services' topics, from their start to at least what is their end when it begins."""

from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import ConsumerRecord

from chassis.kafka import reading
from saga_cli.topology import SERVICES
from shared_events.catalog import topic_of
from shared_events.codec import decode
from shared_events.envelope import Envelope

TOPICS = tuple(topic_of(spec.name) for spec in SERVICES)


@dataclass(frozen=True, slots=True)
class Logged:
    """One event, where it stands, and when it was appended."""

    topic: str
    partition: int
    offset: int
    envelope: Envelope
    timestamp_ms: int = 0


async def read(bootstrap: str, topics: Iterable[str] = TOPICS) -> list[Logged]:
    """All events of the topics that exist, in order within each partition."""
    return [
        Logged(r.topic, r.partition, r.offset, decode(r.value, r.headers), r.timestamp)
        for r in await records(bootstrap, topics)
    ]


async def records(bootstrap: str, topics: Iterable[str] = TOPICS) -> list[ConsumerRecord]:
    """The same, as Kafka has them."""
    async with reading(bootstrap, topics) as log:
        return [record async for batch in log.to_end() for record in batch]
