"""Choreography as tutorials write it: five services, one message one transaction, a polled outbox.

The inbox is a SELECT and an INSERT, the outbox is looked at every so often and sent row by row, offsets
are committed by the client's timer. Orders are placed inside the order service: no HTTP is counted.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from bench.peers import shop
from bench.peers.databases import RunServers
from bench.peers.messaging import PeerMessage, Sessions, consuming, database, producing
from bench.peers.mix import MixOrder
from bench.peers.running import PeerPlan, Role, Submit, beside

TABLES: Final = """
    CREATE TABLE inbox (message_id text PRIMARY KEY);
    CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL, value text NOT NULL,
        published boolean NOT NULL DEFAULT false);
    CREATE INDEX outbox_pending ON outbox (id) WHERE NOT published
"""
SEEN: Final = text("SELECT 1 FROM inbox WHERE message_id = :id")
ENTER: Final = text("INSERT INTO inbox (message_id) VALUES (:id)")
INSERT_OUTBOX: Final = text("INSERT INTO outbox (key, value) VALUES (:key, :value)")
PENDING: Final = text("SELECT id, key, value FROM outbox WHERE NOT published ORDER BY id LIMIT 100")
PUBLISHED: Final = text("UPDATE outbox SET published = true WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a service does on an event, and the event that tells that it did, or that it refused."""

    step: shop.Stage
    done: str
    refused: str = ""


REACTIONS: Final = {
    "order": {
        "points.awarded": Reaction(shop.confirm, "order.confirmed"),
        "stock.rejected": Reaction(shop.cancel, "order.cancelled"),
        "stock.released": Reaction(shop.cancel, "order.cancelled"),
    },
    "inventory": {
        "order.placed": Reaction(shop.reserve, "stock.reserved", "stock.rejected"),
        "payment.declined": Reaction(shop.release, "stock.released"),
        "payment.refunded": Reaction(shop.release, "stock.released"),
    },
    "payment": {
        "stock.reserved": Reaction(shop.capture, "payment.captured", "payment.declined"),
        "shipment.rejected": Reaction(shop.refund, "payment.refunded"),
        "shipment.cancelled": Reaction(shop.refund, "payment.refunded"),
    },
    "shipping": {
        "payment.captured": Reaction(shop.ship, "shipment.created", "shipment.rejected"),
        "points.rejected": Reaction(shop.cancel_shipment, "shipment.cancelled"),
    },
    "loyalty": {"shipment.created": Reaction(shop.award, "points.awarded", "points.rejected")},
}
CONSUMES: Final = {
    "order": ("inventory", "loyalty"),
    "inventory": ("order", "payment"),
    "payment": ("inventory", "shipping"),
    "shipping": ("payment", "loyalty"),
    "loyalty": ("shipping",),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--poll-ms", type=float, default=100, help="pause of each outbox's relay")
    parser.add_argument("--pool", type=int, default=10, help="connections of each service")


def plan(place: RunServers, options: argparse.Namespace) -> PeerPlan:
    tuning = (options.poll_ms / 1000, options.pool)
    return PeerPlan(
        databases={name: (name,) for name in REACTIONS},
        extra_tables=(TABLES,),
        topics=tuple(REACTIONS),
        roles=[Role(n, serve, (place, n, *tuning), loads=n == "order") for n in REACTIONS],
        settings={"poll_ms": options.poll_ms, "pool": options.pool},
    )


@dataclass
class NaiveService:
    place: RunServers
    name: str
    sessions: Sessions
    waiting: dict[str, asyncio.Event] = field(default_factory=dict)

    async def submit(self, order: MixOrder) -> None:
        ended = self.waiting[order.id] = asyncio.Event()
        async with self.sessions.begin() as session:
            await session.run_sync(shop.place, order)
            await add_to_outbox(session, PeerMessage("order.placed", order))
        await ended.wait()

    async def consume(self, consumer: Any) -> None:
        async for record in consumer:
            message = PeerMessage.unpacked(record.value)
            if reaction := REACTIONS[self.name].get(message.kind):
                await self.react(message, reaction)

    async def react(self, message: PeerMessage, reaction: Reaction) -> None:
        async with self.sessions.begin() as session:
            if (await session.execute(SEEN, {"id": message.id})).first():
                return
            await session.execute(ENTER, {"id": message.id})
            done = await session.run_sync(reaction.step, message.order)
            kind = reaction.done if done else reaction.refused
            await add_to_outbox(session, PeerMessage(kind, message.order))
        if ended := self.waiting.pop(message.order.id, None):
            ended.set()

    async def relay(self, producer: Any, poll_s: float) -> None:
        while True:
            async with self.sessions.begin() as session:
                for id_, key, value in (await session.execute(PENDING)).all():
                    topic = self.place.topic(self.name)
                    await producer.send_and_wait(topic, value.encode(), key.encode())
                    await session.execute(PUBLISHED, {"id": id_})
            await asyncio.sleep(poll_s)


async def add_to_outbox(session: AsyncSession, message: PeerMessage) -> None:
    await session.execute(INSERT_OUTBOX, {"key": message.order.id, "value": message.packed()})


@asynccontextmanager
async def serve(
    place: RunServers, name: str, poll_s: float, pool: int
) -> AsyncIterator[Submit | None]:
    async with (
        database(place, name, pool) as sessions,
        producing(place) as producer,
        consuming(place, name, CONSUMES[name], auto_commit=True) as consumer,
    ):
        service = NaiveService(place, name, sessions)
        async with beside(service.consume(consumer), service.relay(producer, poll_s)):
            yield service.submit if name == "order" else None
