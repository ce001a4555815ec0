"""JSON messages between processes over Kafka, as the two peers that use it send them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from bench.peers.databases import RunServers
from bench.peers.mix import MixOrder

Sessions = async_sessionmaker[AsyncSession]


@dataclass(frozen=True, slots=True)
class PeerMessage:
    """`kind` is a command, a reply or an event; an order has one message of a kind at most."""

    kind: str
    order: MixOrder

    @property
    def id(self) -> str:
        return f"{self.order.id}:{self.kind}"

    def packed(self) -> str:
        return json.dumps({"kind": self.kind, "order": asdict(self.order)})

    @classmethod
    def unpacked(cls, packed: str | bytes) -> Self:
        found = json.loads(packed)
        lines = tuple((sku, quantity) for sku, quantity in found["order"].pop("lines"))
        return cls(found["kind"], MixOrder(lines=lines, **found["order"]))


@asynccontextmanager
async def database(place: RunServers, name: str, pool: int) -> AsyncIterator[Sessions]:
    """Without connections beyond the pool: making one costs PostgreSQL more than a step."""
    url = place.url(name, "postgresql+asyncpg")
    engine = create_async_engine(url, pool_size=pool, max_overflow=0)
    try:
        yield async_sessionmaker(engine)
    finally:
        await engine.dispose()


def producing(place: RunServers) -> Any:
    return AIOKafkaProducer(bootstrap_servers=place.kafka, acks="all", enable_idempotence=True)


def consuming(place: RunServers, group: str, topics: tuple[str, ...], *, auto_commit: bool) -> Any:
    """A consumer, which has its partitions when it is entered."""
    return AIOKafkaConsumer(
        *(place.topic(topic) for topic in topics),
        bootstrap_servers=place.kafka,
        group_id=place.topic(group),
        auto_offset_reset="earliest",
        enable_auto_commit=auto_commit,
    )
