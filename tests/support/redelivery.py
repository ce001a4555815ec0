"""Every record of the log once more, as a broker or an operator may deliver it; and what it leaves."""

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis

from chassis.kafka import Cluster, admin_client
from saga_cli.log.reader import TOPICS, records
from saga_cli.topology import BY_NAME, SERVICES, Addresses
from tests.support.waiting import until_async

MECHANISM: Final = {
    "alembic_version",
    "inbox",
    "outbox",
    "effects",
    "idempotency_keys",
    "published",
    "clock_marks",
}


async def send_all_again(cluster: Cluster, topics: Iterable[str] = TOPICS) -> int:
    """Publish every record again, each in its partition; returns how many."""
    found = await records(cluster, topics)
    producer = AIOKafkaProducer(**cluster.options(), acks="all")
    await producer.start()
    try:
        for record in found:
            await producer.send(
                record.topic,
                value=record.value,
                key=record.key,
                headers=list(record.headers),
                partition=record.partition,
            )
        await producer.flush()
    finally:
        await producer.stop()
    return len(found)


async def rewind(addresses: Addresses, names: Iterable[str] = BY_NAME) -> dict[str, int]:
    """Groups to the start of all that they have read, as `--reset-offsets --to-earliest`.

    Returns the number of its partitions: a partition that no order went to yet is none of them.
    """
    rewound: dict[str, int] = {}
    async with admin_client(addresses.kafka) as admin:
        for name in names:
            places = list(await admin.list_consumer_group_offsets(name))
            group = AIOKafkaConsumer(
                **addresses.kafka.options(),
                group_id=name,
                enable_auto_commit=False,
            )
            await group.start()
            group.assign(places)
            await group.commit(dict.fromkeys(places, 0))
            await group.stop()
            rewound[name] = len(places)
    return rewound


async def all_read(cluster: Cluster) -> None:
    """Wait until every group has committed the end of what it reads."""
    async with admin_client(cluster) as admin, AIOKafkaConsumer(**cluster.options()) as consumer:
        for spec in SERVICES:
            look = partial(_has_read_all, admin, consumer, spec.name)
            await until_async(look, 120, f"the end of what {spec.name} reads")


async def members(cluster: Cluster) -> dict[str, int]:
    """How many members each service's group has; aiokafka misreads an answer about several groups."""
    async with admin_client(cluster) as admin:
        described = [await admin.describe_consumer_groups([spec.name]) for spec in SERVICES]
    groups = (group for (response,) in described for group in response.groups)
    return {group[1]: len(group[5]) for group in groups}


async def _has_read_all(admin: Any, consumer: Any, group: str) -> bool:
    committed = await admin.list_consumer_group_offsets(group)
    ends = await consumer.end_offsets([TopicPartition(*place) for place in committed])
    return all(ends[place] <= offset.offset for place, offset in committed.items())


async def fingerprint(addresses: Addresses) -> dict[str, Any]:
    """All rows of all services, but for the mechanism's own, whose numbers may grow."""
    found: dict[str, Any] = {}
    for spec in SERVICES:
        if spec.has_database:
            connection = await asyncpg.connect(addresses.database_url(spec))
            try:
                tables = await connection.fetch(
                    "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
                )
                for table in {row[0].partition("_2")[0] for row in tables} - MECHANISM:
                    rows = await connection.fetch(f"SELECT t::text FROM {table} t ORDER BY 1")  # noqa: S608 - own names
                    found[f"{spec.name} {table}"] = [row[0] for row in rows]
            finally:
                await connection.close()
    return found | await _loyalty(addresses)


async def _loyalty(addresses: Addresses) -> dict[str, Any]:
    async with _redis(addresses) as redis:
        keys = [key async for key in redis.scan_iter("loyalty:*:*") if b":relay:" not in key]
        hashes = [key for key in keys if key.startswith((b"loyalty:order:", b"loyalty:customer:"))]
        rows = {key.decode(): await redis.hgetall(key) for key in hashes}
    return {k: {f: v for f, v in row.items() if f[:2] != b"m:"} for k, row in rows.items()}


async def forget_what_was_seen(addresses: Addresses) -> int:
    """Empty all inboxes, as a careless pruning would; returns how many messages they knew."""
    known = 0
    for spec in SERVICES:
        if spec.has_database:
            connection = await asyncpg.connect(addresses.database_url(spec))
            try:
                known += await connection.fetchval("SELECT count(*) FROM inbox")
                await connection.execute("DELETE FROM inbox")
            finally:
                await connection.close()
    async with _redis(addresses) as redis:
        async for key in redis.scan_iter("loyalty:order:*"):
            marks = [field for field in await redis.hkeys(key) if field[:2] == b"m:"]
            known += await redis.hdel(key, *marks) if marks else 0
    return known


def _redis(addresses: Addresses) -> Redis:
    return Redis.from_url(f"{addresses.redis_url}/{BY_NAME['loyalty'].redis_database}")
