"""Reads the services' topics, from their start to what is their end when the reading begins."""

from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from saga_cli.topology import SERVICES
from shared_events.catalog import topic_of
from shared_events.codec import decode
from shared_events.envelope import Envelope

TOPICS = tuple(topic_of(spec.name) for spec in SERVICES)


@dataclass(frozen=True, slots=True)
class Logged:
    """One event and where it stands."""

    topic: str
    partition: int
    offset: int
    envelope: Envelope


async def read(bootstrap: str, topics: Iterable[str] = TOPICS) -> list[Logged]:
    """All events of the topics that exist, in order within each partition."""
    return [
        Logged(r.topic, r.partition, r.offset, decode(r.value, r.headers))
        for r in await records(bootstrap, topics)
    ]


async def records(bootstrap: str, topics: Iterable[str] = TOPICS) -> list[ConsumerRecord]:
    """The same, as Kafka has them."""
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
        found: list[ConsumerRecord] = []
        open_ = {place for place in places if ends[place] > 0}
        while open_:
            batches = await consumer.getmany(timeout_ms=500, max_records=5000)
            for place, batch in batches.items():
                found += [record for record in batch if record.offset < ends[place]]
            open_ = {place for place in open_ if await consumer.position(place) < ends[place]}
    finally:
        await consumer.stop()
    return found


async def _places(bootstrap: str, topics: Iterable[str]) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        described = await admin.describe_topics([topic for topic in topics if topic in existing])
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
