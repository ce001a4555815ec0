"""Reads the services' topics, from their start to what is their end when the reading begins."""

from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from saga_cli.topology import SERVICES
from shared_events.codec import decode
from shared_events.envelope import Envelope

TOPICS = tuple(f"{spec.name}.events" for spec in SERVICES)


@dataclass(frozen=True, slots=True)
class Logged:
    """One event and where it stands."""

    topic: str
    partition: int
    offset: int
    envelope: Envelope


async def read(bootstrap: str, topics: Iterable[str] = TOPICS) -> list[Logged]:
    """All events of the topics that exist, in order within each partition."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        places = await _places(bootstrap, topics)
        if not places:
            return []
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        logged: list[Logged] = []
        open_ = {place for place in places if ends[place] > 0}
        while open_:
            for place, records in (
                await consumer.getmany(timeout_ms=500, max_records=5000)
            ).items():
                logged += [
                    Logged(r.topic, r.partition, r.offset, decode(r.value, r.headers))
                    for r in records
                    if r.offset < ends[place]
                ]
            open_ = {place for place in open_ if await consumer.position(place) < ends[place]}
    finally:
        await consumer.stop()
    return logged


async def _places(bootstrap: str, topics: Iterable[str]) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        existing = [topic for topic in topics if topic in await admin.list_topics()]
        described = await admin.describe_topics(existing)
    finally:
        await admin.close()
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]


def by_order(logged: Iterable[Logged]) -> dict[str, list[Logged]]:
    """Events by subject, in the order of their causes and times, repeats of a publish left out."""
    orders: dict[str, dict[str, Logged]] = {}
    for entry in logged:
        known = orders.setdefault(entry.envelope.subject, {})
        known.setdefault(str(entry.envelope.id), entry)
    return {
        subject: sorted(events.values(), key=lambda e: (e.envelope.time, e.envelope.sequence))
        for subject, events in orders.items()
    }
