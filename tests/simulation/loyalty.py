"""Loyalty's store on a simulated Redis, with a log in memory where Kafka would be."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from aiokafka import TopicPartition

import chassis.redis.database
from chassis import clock
from chassis.kafka import Cluster, clients
from chassis.message import Message, OutboxRow, Record
from chassis.redis import RedisDatabase, rebuild, rollback
from chassis.redis.inspection import RedisInspection
from chassis.redis.store import RedisStore
from chassis.service import Service
from loyalty_svc.service import SERVICE
from loyalty_svc.store import LAYOUT
from simulation.redis_client import RedisClients
from simulation.redis_server import RedisServer
from tests.support.opened import Opened
from tests.support.records import message_of

PLACES: Final = tuple(TopicPartition(topic, 0) for topic in SERVICE.log_topics)


class PublishedLog:
    """What loyalty has published: one partition of each topic, read as `clients.Log` reads them."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._at: dict[TopicPartition, int] = {}

    def add(self, row: OutboxRow) -> None:
        offset = self.end(row.topic)
        key, headers = row.key.encode(), tuple(row.headers)
        self.records.append(Record(row.topic, 0, offset, key, row.value, headers))

    def end(self, topic: str) -> int:
        return sum(record.topic == topic for record in self.records)

    @asynccontextmanager
    async def reading(
        self,
        _cluster: Cluster,
        _topics: Iterable[str],
        since: Mapping[tuple[str, int], int] = clients.NOWHERE,
    ) -> AsyncIterator[clients.Log]:
        self._at = {place: since.get(place, 0) for place in PLACES}
        yield clients.Log(self, dict.fromkeys(PLACES, 0), dict(self._at))

    @property
    def facts(self) -> set[tuple[bytes | None, bytes | None]]:
        """Each event once, however often it was sent."""
        return {(dict(record.headers)["ce_id"], record.value) for record in self.records}

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: self.end(place.topic) for place in places}

    async def position(self, place: TopicPartition) -> int:
        return self._at[place]

    async def getmany(self, **_limits: int) -> dict[TopicPartition, list[Record]]:
        found: dict[TopicPartition, list[Record]] = {}
        for record in self.records:
            place = TopicPartition(record.topic, record.partition)
            if record.offset >= self._at[place]:
                found.setdefault(place, []).append(record)
        self._at |= {place: self.end(place.topic) for place in found}
        return found


@dataclass
class VirtualTime:
    """Passes when somebody waits, and a little at each look at it."""

    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(microseconds=50)
        return self.at

    def monotonic(self) -> float:
        return self.now().timestamp()

    async def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    async def wait_for(self, event: asyncio.Event, seconds: float) -> bool:
        await self.wait(0.0 if event.is_set() else seconds)
        return event.is_set()

    def replace(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("now", "monotonic", "wait", "wait_for"):
            patch.setattr(clock, name, getattr(self, name))


@dataclass
class Loyalty:
    """A Redis, what was published from it, and the records that loyalty reads, so many at once."""

    inputs: Sequence[Record] = ()
    batch: int = 7
    redis: RedisServer = field(default_factory=RedisServer)
    published: PublishedLog = field(default_factory=PublishedLog)

    def replace(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(chassis.redis.database, "Redis", RedisClients(self.redis))
        for module in (rebuild, rollback):
            patch.setattr(module, "reading", self.published.reading)

    async def connect(self, service: Service = SERVICE) -> Opened:
        database = RedisDatabase.at("redis://simulated/0")
        cluster = Cluster("simulated:9092")
        store = await RedisStore.connect(service, LAYOUT, database, cluster)
        await store.prepare(asyncio.Event())
        return Opened.of(service, store, RedisInspection(store))

    async def consume(self, store: Opened, until: int) -> None:
        """Read on from the store's own positions, in batches, relaying after every second one."""
        at = await store.positions()
        due = [r for r in self.inputs[:until] if r.offset >= at.get((r.topic, r.partition), 0)]
        for start in range(0, len(due), self.batch):
            batch = due[start : start + self.batch]
            await store.handle([decoded(record) for record in batch])
            await store.reached({(r.topic, r.partition): r.offset + 1 for r in batch})
            if start % 2:
                await self.relay(store)

    async def relay(self, store: Opened) -> None:
        assert await store.lead()
        rows = await store.pending(100)
        for _, row in rows:
            assert row.topic in SERVICE.own_topics, f"parked: {row}"
            self.published.add(row)
        if rows:
            await store.acknowledge([id_ for id_, _ in rows])


def decoded(record: Record) -> Message:
    message = message_of(record)
    assert isinstance(message, Message)
    return message


def books(redis: RedisServer) -> dict[bytes, Any]:
    """What is known of each order and each customer; a hash of marks alone knows of no order."""
    known: dict[bytes, Any] = {}
    for key, held in redis.data.values.items():
        if key.startswith(b"loyalty:order:") and b"version" in held:
            known[key] = [held.get(name) for name in (b"version", b"status", b"detail")]
        elif key.startswith(b"loyalty:customer:"):
            names = (b"points", b"suspended", b"changes")
            known[key] = [int(held.get(name, 0)) for name in names]
    return known
