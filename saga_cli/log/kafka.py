"""What Kafka itself keeps: a client of no group, which commits nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiokafka import TopicPartition

from chassis.kafka import (
    ANSWER_S,
    Cluster,
    admin_client,
    make_consumer,
    reading,
    start,
    stop_within,
)
from saga_cli.log.source import HoleError, LogPartition, LogRecord, Span

BATCH = 5000


@dataclass
class KafkaLog:
    cluster: Cluster

    async def spans(self, topics: Iterable[str]) -> dict[LogPartition, Span]:
        async with reading(self.cluster, topics) as log:
            ends = await log.ahead()
        return {
            LogPartition(*p): Span(first, ends.get(p, first)) for p, first in log.starts.items()
        }

    async def read(self, spans: Mapping[LogPartition, Span]) -> AsyncIterator[list[LogRecord]]:
        left = {TopicPartition(*place): span for place, span in spans.items()}
        async with consuming(self.cluster) as client:
            client.assign([*left])
            firsts = await client.beginning_offsets([*left]) if left else {}
            for part, span in left.items():
                if span.start < min(firsts[part], span.end):
                    raise HoleError(f"{LogPartition(*part)} begins at {firsts[part]}")
                client.seek(part, span.start)
            while left := {p: s for p, s in left.items() if await client.position(p) < s.end}:
                async with asyncio.timeout(ANSWER_S):
                    found = await client.getmany(*left, timeout_ms=500, max_records=BATCH)
                for part, batch in found.items():
                    if kept := [kept_of(r) for r in batch if r.offset < left[part].end]:
                        yield kept

    async def offsets_at(
        self, instant: datetime, places: Iterable[LogPartition]
    ) -> Mapping[LogPartition, int]:
        parts = [TopicPartition(*place) for place in places]
        at_ms = int(instant.timestamp() * 1000)
        async with consuming(self.cluster) as client:
            found = await client.offsets_for_times(dict.fromkeys(parts, at_ms))
            ends = await client.end_offsets(parts)
        return {LogPartition(*p): found[p].offset if found[p] else ends[p] for p in parts}


@asynccontextmanager
async def consuming(cluster: Cluster, group: str | None = None) -> AsyncIterator[Any]:
    """A consumer that has nothing assigned."""
    client = make_consumer(cluster, group)
    try:
        async with asyncio.timeout(ANSWER_S):
            await start(client, cluster)
        yield client
    finally:
        await stop_within(client, 5)


def kept_of(record: Any) -> LogRecord:
    of = (record.topic, record.partition, record.offset, record.key, record.value)
    return LogRecord(*of, tuple(record.headers), record.timestamp)


async def committed(cluster: Cluster, group: str) -> dict[LogPartition, int]:
    """Up to where a service has read its neighbours' topics, as Kafka knows it."""
    async with admin_client(cluster) as admin:
        found: Mapping[Any, Any] = await admin.list_consumer_group_offsets(group)
    return {LogPartition(*place): at.offset for place, at in found.items()}
