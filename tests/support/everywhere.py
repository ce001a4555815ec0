"""Every byte that a running system keeps: topics, tables, keys of Redis, logs and metrics, by place."""

import asyncio
from collections.abc import Iterable
from typing import Final

import httpx
import psycopg
from psycopg import sql
from redis import Redis

from chassis.events import dead_letters_of
from guarantees.services import WITH_DATABASE
from saga_cli.log.reader import TOPICS, records
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME
from shared_events.catalog import CATALOG

ALL_TOPICS: Final = (*TOPICS, *sorted(CATALOG.compacted), *(dead_letters_of(n) for n in BY_NAME))
TABLES: Final = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
AND NOT relispartition ORDER BY relname
"""
"""A table that is partitioned has what its partitions have."""


def holding(services: Services, marks: Iterable[str]) -> dict[str, set[str]]:
    """Of each mark, the places that have it in their bytes: `topic NAME`, `table DATABASE.NAME` and so on.

    Of a topic that is compacted the newest record of a key counts as `topic NAME`, each other one as
    `older records of NAME`: those go when Kafka compacts.
    """
    found: dict[str, set[str]] = {mark: set() for mark in marks}

    def look(place: str, *raws: bytes) -> None:
        for mark, places in found.items():
            if any(mark.encode() in raw for raw in raws):
                places.add(place)

    for place, raws in _in_topics(services):
        look(place, *raws)
    for name in WITH_DATABASE:
        for place, raw in _in_tables(services, name):
            look(place, raw)
    for place, raw in _in_redis(services):
        look(place, raw)
    for instance in services.instances:
        log = instance.process.log.read_bytes()
        look(f"log {instance.process.name}", log)
        look(f"metrics {instance.process.name}", httpx.get(f"{instance.url}/metrics").content)
    return found


def _in_topics(services: Services) -> Iterable[tuple[str, list[bytes]]]:
    newest: dict[tuple[str, bytes | None], tuple[int, int]] = {}
    read = asyncio.run(records(services.addresses.kafka, ALL_TOPICS))
    for r in read:
        newest[r.topic, r.key] = (r.partition, r.offset)
    for r in read:
        raws = [r.key or b"", r.value or b"", *(raw or b"" for _, raw in r.headers)]
        is_old = newest[r.topic, r.key] != (r.partition, r.offset) and r.topic in CATALOG.compacted
        yield f"older records of {r.topic}" if is_old else f"topic {r.topic}", raws


def _in_tables(services: Services, service: str) -> Iterable[tuple[str, bytes]]:
    with psycopg.connect(services.addresses.database_url(BY_NAME[service])) as connection:
        for (table,) in connection.execute(TABLES).fetchall():
            name = sql.Identifier(table)
            # bytea as it is, all else as text
            query = sql.SQL("COPY (SELECT row_to_json(t)::text FROM {} AS t) TO STDOUT")
            with connection.cursor().copy(query.format(name)) as copied:
                raw = b"".join(copied)
            yield f"table {service}.{table}", _with_bytea(raw)


def _with_bytea(raw: bytes) -> bytes:
    """Values of bytea stand as `\\\\x...` in JSON: what they hold is added in clear."""
    parts = raw.split(b'"\\\\\\\\x')[1:]
    clear = (bytes.fromhex(part.split(b'"', 1)[0].decode()) for part in parts)
    return b"\n".join([raw, *clear])


def _in_redis(services: Services) -> Iterable[tuple[str, bytes]]:
    for number in (0, 1):
        with Redis.from_url(f"{services.addresses.redis_url}/{number}") as redis:
            for key in redis.scan_iter(count=1000):
                kind = redis.type(key)
                raw = repr(
                    redis.hgetall(key)
                    if kind == b"hash"
                    else redis.xrange(key)
                    if kind == b"stream"
                    else redis.lrange(key, 0, -1)
                    if kind == b"list"
                    else redis.zrange(key, 0, -1)
                    if kind == b"zset"
                    else redis.get(key)
                )
                name = key.decode()
                place = ":".join(name.split(":")[:2])
                yield f"Redis {place}", key + raw.encode()
