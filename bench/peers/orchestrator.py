"""An orchestrator over Kafka: one process holds each saga's state, four do what it commands.

One message is one transaction; those of one fetch run at the same time, as no two are of one saga.
In place of an outbox, offsets are committed after the answers are sent, a participant answers a repeated
command as before, and the orchestrator repeats what a repeated reply led to. A sweep of sagas whose
first command was never sent is not built.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import text

from bench.peers import shop
from bench.peers.databases import RunServers
from bench.peers.messaging import PeerMessage, Sessions, consuming, database, producing
from bench.peers.mix import MixOrder
from bench.peers.running import PeerPlan, Role, Submit, beside

TABLES: Final = """
    CREATE TABLE sagas (
        order_id text PRIMARY KEY, state text NOT NULL, message text NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE answered (message_id text PRIMARY KEY, reply text NOT NULL)
"""
BEGIN: Final = text("INSERT INTO sagas (order_id, state, message) VALUES (:id, :state, :message)")
STATE: Final = text("SELECT state FROM sagas WHERE order_id = :id FOR UPDATE")
MOVE: Final = text("UPDATE sagas SET state = :state, changed_at = now() WHERE order_id = :id")
ANSWERED: Final = text("SELECT reply FROM answered WHERE message_id = :id")
ANSWER: Final = text("INSERT INTO answered (message_id, reply) VALUES (:id, :reply)")

STEPS: Final[dict[str, dict[str, shop.Stage]]] = {
    "inventory": {"reserve": shop.reserve, "release": shop.release},
    "payment": {"capture": shop.capture, "refund": shop.refund},
    "shipping": {"ship": shop.ship, "cancel_shipment": shop.cancel_shipment},
    "loyalty": {"award": shop.award},
}
OWNER: Final = {command: name for name, commands in STEPS.items() for command in commands}
NEXT: Final = {
    "reserve:done": "capture",
    "capture:done": "ship",
    "ship:done": "award",
    "award:done": "CONFIRMED",
    "award:refused": "cancel_shipment",
    "ship:refused": "refund",
    "cancel_shipment:done": "refund",
    "capture:refused": "release",
    "refund:done": "release",
    "reserve:refused": "CANCELLED",
    "release:done": "CANCELLED",
}
"""The machine: the state after a reply is the command that the saga waits for, or its end."""
ENDS: Final = {"CONFIRMED": shop.confirm, "CANCELLED": shop.cancel}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pool", type=int, default=10, help="connections of each process")


def plan(place: RunServers, options: argparse.Namespace) -> PeerPlan:
    participants = [Role(name, participant, (place, name, options.pool)) for name in STEPS]
    return PeerPlan(
        databases={"order": ("order",), **{name: (name,) for name in STEPS}},
        extra_tables=(TABLES,),
        topics=(*STEPS, "replies"),
        roles=[
            *participants,
            Role("orchestrator", orchestrator, (place, options.pool), loads=True),
        ],
        settings={"pool": options.pool},
    )


@dataclass
class Orchestrator:
    place: RunServers
    sessions: Sessions
    producer: Any
    waiting: dict[str, asyncio.Event] = field(default_factory=dict)

    async def submit(self, order: MixOrder) -> None:
        ended = self.waiting[order.id] = asyncio.Event()
        first = PeerMessage("reserve", order)
        async with self.sessions.begin() as session:
            await session.run_sync(shop.place, order)
            row = {"id": order.id, "state": first.kind, "message": first.packed()}
            await session.execute(BEGIN, row)
        await self.command(first)
        await ended.wait()

    async def handle(self, reply: PeerMessage) -> None:
        command = reply.kind.partition(":")[0]
        following = NEXT[reply.kind]
        async with self.sessions.begin() as session:
            state = (await session.execute(STATE, {"id": reply.order.id})).scalar_one()
            if state == command:
                await session.execute(MOVE, {"id": reply.order.id, "state": following})
                if end := ENDS.get(following):
                    await session.run_sync(end, reply.order)
        if following in OWNER:
            if state in {command, following}:
                await self.command(PeerMessage(following, reply.order))
        elif ended := self.waiting.pop(reply.order.id, None):
            ended.set()

    async def command(self, message: PeerMessage) -> None:
        await send(self.producer, self.place.topic(OWNER[message.kind]), message)


async def send(producer: Any, topic: str, message: PeerMessage) -> None:
    await producer.send_and_wait(topic, message.packed().encode(), message.order.id.encode())


async def consume(consumer: Any, handle: Callable[[PeerMessage], Awaitable[None]]) -> None:
    while True:
        fetched = await consumer.getmany(timeout_ms=500)
        records = [record for some in fetched.values() for record in some]
        if records:
            await asyncio.gather(
                *(handle(PeerMessage.unpacked(record.value)) for record in records)
            )
            await consumer.commit()


@asynccontextmanager
async def orchestrator(place: RunServers, pool: int) -> AsyncIterator[Submit | None]:
    async with (
        database(place, "order", pool) as sessions,
        producing(place) as producer,
        consuming(place, "orchestrator", ("replies",), auto_commit=False) as consumer,
    ):
        machine = Orchestrator(place, sessions, producer)
        async with beside(consume(consumer, machine.handle)):
            yield machine.submit


@asynccontextmanager
async def participant(place: RunServers, name: str, pool: int) -> AsyncIterator[Submit | None]:
    async with (
        database(place, name, pool) as sessions,
        producing(place) as producer,
        consuming(place, name, (name,), auto_commit=False) as consumer,
    ):

        async def handle(command: PeerMessage) -> None:
            async with sessions.begin() as session:
                reply = (await session.execute(ANSWERED, {"id": command.id})).scalar()
                if reply is None:
                    done = await session.run_sync(STEPS[name][command.kind], command.order)
                    reply = f"{command.kind}:{'done' if done else 'refused'}"
                    await session.execute(ANSWER, {"id": command.id, "reply": reply})
            await send(producer, place.topic("replies"), PeerMessage(reply, command.order))

        async with beside(consume(consumer, handle)):
            yield None
