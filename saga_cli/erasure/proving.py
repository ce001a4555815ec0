"""The proof: every topic and table that had it is read afterwards, topics from their start to their end."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from guarantees.declared import service_of
from loyalty_svc.store import PSEUDONYMS
from saga_cli.clients import database
from saga_cli.erasure.erasing import Subject
from saga_cli.log.kafka import KafkaLog, committed
from saga_cli.log.reader import read_spans
from saga_cli.log.source import LogPartition, Source
from saga_cli.progress import no_progress
from saga_cli.targets import Targets
from saga_cli.topology import SERVICES
from saga_cli.verify.details import ProjectedHashRows
from saga_cli.verify.results import Ends, ends_of
from shared_events.catalog import CATALOG

LOOK_AGAIN_S: Final = 0.2
COMPACTED: Final = tuple(sorted(CATALOG.compacted))
OUTBOX: Final = (
    "SELECT count(*) FROM outbox WHERE topic = ANY($1::text[]) AND key = ANY($2::text[])"
)
TABLES: Final = {
    ("order", "customers"): """
SELECT count(*) FROM customers WHERE customer_id = $1 AND $1 <> '' AND $2::text[] IS NOT NULL
""",
    ("order", "outbox and published"): """
SELECT count(*) FROM (
    SELECT topic, key, value FROM published UNION ALL SELECT topic, key, value FROM outbox
) AS kept
WHERE key = ANY($2::text[]) AND value IS NOT NULL AND $1::text IS NOT NULL AND topic = ANY($3::text[])
""",
    ("order", "idempotency_keys"): """
SELECT count(*) FROM idempotency_keys
WHERE $1 <> '' AND right(scope, length($1) + 4) = ' by ' || $1 AND $2::text[] IS NOT NULL
""",
    ("payment", "payment_details"): """
SELECT count(*) FROM payment_details WHERE ($1 <> '' AND customer_id = $1)
OR (order_id = ANY($2::text[]) AND payment_token <> '')
""",
    ("shipping", "delivery_details"): """
SELECT count(*) FROM delivery_details WHERE ($1 <> '' AND customer_id = $1)
OR (order_id = ANY($2::text[]) AND concat(name, street, city, email, postal_code) <> '')
""",
}
"""By service and place, what is left of $1, a customer or "", and of $2, keys."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is `left` is readable still; what is `buried` a tombstone covers, until Kafka compacts."""

    name: str
    left: int
    buried: int = 0


async def proof(places: Targets, subject: Subject, wait_s: float) -> list[Place]:
    """Looks again until nothing is left and all readers are past the tombstones, or the time is over."""
    until = time.monotonic() + wait_s
    while True:
        found = await _looked(places, subject)
        if not any(place.left for place in found) or time.monotonic() > until:
            return found
        await asyncio.sleep(LOOK_AGAIN_S)


async def _looked(places: Targets, subject: Subject) -> list[Place]:
    source, keys = KafkaLog(places.kafka), [key for _, key in subject.keys]
    ends = await ends_of(source, COMPACTED)
    found = [await _unsent(places, keys), await _unread(places, ends)]
    found += [await in_topic(source, topic, subject) for topic in COMPACTED]
    for service in dict.fromkeys(service for service, _ in TABLES):
        async with database(places.store_of(service)) as connection:
            for (owner, table), query in TABLES.items():
                if owner == service:
                    more = [list(COMPACTED)] if "$3" in query else []
                    left = await connection.fetchval(query, subject.customer_id, keys, *more)
                    found.append(Place(f"{service}: {table}", left))
    return [*found, await _in_loyalty(places, subject)]


async def _unsent(places: Targets, keys: list[str]) -> Place:
    async with database(places.store_of("order")) as connection:
        left = await connection.fetchval(OUTBOX, list(COMPACTED), keys)
    return Place("tombstones that are not in Kafka yet", left)


async def _unread(places: Targets, ends: Ends) -> Place:
    """A reader that is behind would write again what is erased, before it reads the tombstone."""
    left = 0
    for spec in SERVICES:
        topics = service_of(spec.name).projections
        if not topics:
            continue
        if spec.has_database:
            reached: Ends = await committed(places.kafka, spec.name)
        else:
            async with Redis.from_url(places.store_of(spec.name)) as redis:
                reached = await ProjectedHashRows(PSEUDONYMS, redis).consumed()
        left += _left_to_read(ends, reached, topics)
    return Place("records that services have not read yet", left)


def _left_to_read(ends: Ends, reached: Ends, topics: Iterable[str]) -> int:
    parts = ((place, end) for place, end in ends.items() if place.topic in topics)
    return sum(max(0, end - reached.get(place, 0)) for place, end in parts)


async def in_topic(source: Source, topic: str, subject: Subject) -> Place:
    """Of each key the newest record has to be a tombstone, in each partition that has one of it.

    Kafka compacts a partition by itself: a tombstone in another covers nothing.
    """
    wanted = {key.encode() for of, key in subject.keys if of == topic}
    newest: dict[tuple[LogPartition, bytes], bool] = {}
    given = 0
    spans = await source.spans([topic])
    async for batch in read_spans(source, spans, no_progress):
        for record in batch:
            if record.key in wanted:
                given += record.value is not None
                newest[record.place, record.key] = record.value is not None
    left = sum(newest.values())
    return Place(f"topic {topic}", left, given - left)


async def _in_loyalty(places: Targets, subject: Subject) -> Place:
    async with Redis.from_url(places.store_of("loyalty")) as redis:
        found = [await redis.hexists(PSEUDONYMS.reverse, subject.customer_id)]
        found += [await redis.hexists(PSEUDONYMS.place, name) for name in subject.pseudonyms]
    return Place("loyalty: pseudonyms", sum(map(int, found)))
