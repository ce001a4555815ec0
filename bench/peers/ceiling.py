"""What PostgreSQL and Kafka themselves can take: the rows and records of an order, with no logic.

The product's own statements, in batches, in four databases, and a producer of each of the five services:
no decision, no codec, no consumer. Runs in the product's environment.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, Final
from uuid import UUID

import asyncpg
import psutil

from bench.peers.databases import RunServers, made, servers_of
from bench.peers.mix import SKUS, MixOrder
from bench.peers.running import Crew, Role, Submit, beside
from chassis.kafka import Cluster
from chassis.kafka.clients import make_producer
from chassis.postgres import PostgresDatabase, retention, sql, statement
from chassis.postgres.clauses import journal_insert
from chassis.postgres.migrations import migrate
from chassis.postgres.pools import PLANNED_ONCE, no_reset
from chassis.postgres.statement import Clause, arrays
from guarantees.declared import migrations_of, service_of, tables_of
from guarantees.services import WITH_DATABASE

BATCHES: Final = (1, 50, 500)
PARTITIONS: Final = range(12)
HEADERS: Final = [(f"ce_header_{n:02}", b"x" * 23) for n in range(12)]  # 420 bytes
PACKED: Final = b"x" * 515  # as they stand in an outbox
PENDING: Final = "SELECT id, key FROM outbox WHERE shard = 0 ORDER BY id LIMIT 1000"
STOCK: Final = """
INSERT INTO stock (sku, available, reserved, committed, receipts) SELECT sku, 1, 0, 0, 0
FROM unnest($1::text[]) AS sku
"""
LEASE: Final = timedelta(seconds=4)


@dataclass(frozen=True, slots=True)
class CeilingStep:
    """One message of an order at a service: the bytes of the event that it leads to, and effects.

    `called`: the outcome of a call that was made once the event that asked for it was out.
    """

    value: int
    effect: str = ""
    finishes: str = ""
    called: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """What a confirmed order leaves at a service; `detail` are bytes of its state in PostgreSQL."""

    steps: tuple[CeilingStep, ...]
    detail: int = 0


ROWS: Final = {
    "order": Rows(
        (CeilingStep(392, effect="later"), CeilingStep(51, finishes="later")), detail=451
    ),
    "inventory": Rows((CeilingStep(392), CeilingStep(177)), detail=139),
    "payment": Rows(
        (CeilingStep(392, effect="call"), CeilingStep(460, finishes="call", called=True)), detail=91
    ),
    "shipping": Rows(
        (
            CeilingStep(392, effect="call"),
            CeilingStep(486, finishes="call", called=True),
            CeilingStep(51, effect="later"),
        ),
        detail=119,
    ),
    "loyalty": Rows((CeilingStep(97),)),  # its rows are in Redis
}
"""Counted in the statistics and topics of a stack that confirmed 300 orders of two lines each."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(in_flight=4)
    parser.description = "--in-flight: batches at once in each service; --sagas: of each batch size"


def measured(place: RunServers, options: argparse.Namespace) -> dict[str, Any]:
    with made(place, dict.fromkeys(WITH_DATABASE, ()), tuple(ROWS)):
        asyncio.run(_fill(place))
        found = {str(size): _measured(place, options, size) for size in BATCHES}
    best = max(found.values(), key=lambda figures: figures["orders_per_s"])
    return {
        "peer": "ceiling",
        "settings": {"in_flight": str(options.in_flight), "batches": str(BATCHES)},
        "in_flight": options.in_flight,
        "sagas": best["orders"],
        "seconds": best["seconds"],
        "settled_per_s": best["orders_per_s"],
        "cpu_s": best["cpu_s"],
        "batches": found,
    }


async def _fill(place: RunServers) -> None:
    for name in WITH_DATABASE:
        url = place.url(name)
        await migrate(migrations_of(name), PostgresDatabase.at(url))
        connection = await asyncpg.connect(url)
        async with connection.transaction():
            await retention.rotate_partitions(connection, 7)
        if name == "inventory":
            await connection.execute(STOCK, list(SKUS))
        await connection.close()


def _measured(place: RunServers, options: argparse.Namespace, size: int) -> dict[str, Any]:
    """One batch size: every service does the same number of batches."""
    batches = max(2 * options.in_flight, options.sagas // size)
    in_flight = options.in_flight * len(ROWS)
    first = size * 10**8  # ids of no other batch size
    numbers = range(first + in_flight, first + in_flight + batches * len(ROWS))
    roles = [Role(name, serving, (place, name, size), loads=True) for name in ROWS]
    with Crew(roles) as crew:
        crew.load(range(first, numbers.start), in_flight)
        _, seconds, cpu = crew.metered(numbers, in_flight, servers_of(place))
    orders = batches * size
    servers = sum(cpu.get(name, 0.0) for name in ("postgres", "kafka"))
    return {
        "orders": orders,
        "seconds": round(seconds, 3),
        "orders_per_s": round(orders / seconds, 1),
        "cpu_s": cpu,
        "server_cpu_ms_per_order": round(1000 * servers / orders, 3),
        "orders_per_s_of_all_cores": round((psutil.cpu_count() or 1) * orders / (servers or 1)),
    }


@dataclass
class CeilingRelay:
    """Moves the outbox to Kafka, turn by turn, with the product's statements."""

    producer: Any
    topic: str
    value: bytes
    begun: int = 0
    ended: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    turned: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self, connection: Any) -> None:
        while True:
            await self.wake.wait()
            self.wake.clear()
            self.begun += 1
            while rows := await connection.fetch(PENDING):
                await self.send([(row["key"].encode(), self.value) for row in rows])
                await connection.execute(retention.KEEP, [row["id"] for row in rows])
            async with self.turned:
                self.ended = self.begun
                self.turned.notify_all()

    async def all_sent(self) -> None:
        """Wait for a turn that begins now."""
        awaited = self.begun + 1
        self.wake.set()
        async with self.turned:
            await self.turned.wait_for(lambda: self.ended >= awaited)

    async def send(self, records: list[tuple[bytes, bytes]]) -> None:
        parts: dict[int, list[tuple[bytes, bytes]]] = {}
        for key, value in records:
            parts.setdefault(key[-1] % len(PARTITIONS), []).append((key, value))
        await asyncio.gather(*(self._send(part, some) for part, some in parts.items()))

    async def _send(self, partition: int, records: list[tuple[bytes, bytes]]) -> None:
        batch = self.producer.create_batch()
        for key, value in records:
            batch.append(key=key, value=value, timestamp=None, headers=HEADERS)
        batch.close()
        await (await self.producer.send_batch(batch, self.topic, partition=partition))


@dataclass
class Writer:
    """A service's statements, a transaction a step and batch."""

    name: str
    size: int
    pool: Any
    relay: CeilingRelay
    numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.rows = ROWS[self.name]
        self.journal = service_of(self.name).journal
        self.own, shared = tables_of(self.name)
        self.shared = shared if shared and shared.lock else None  # prices are only read

    async def batch(self, order: MixOrder) -> None:
        """`order` numbers the batch."""
        keys = [f"{UUID(int=order.number * self.size + n)}" for n in range(self.size)]
        for version, step in enumerate(self.rows.steps, 1):
            if step.called:
                await self.relay.all_sent()
            async with self.pool.acquire() as connection:
                locking = connection.transaction() if self.shared else nullcontext()
                async with locking:
                    await self._write(connection, keys, version, step)
            self.relay.wake.set()
        await self.relay.all_sent()

    async def _write(
        self, connection: Any, keys: list[str], version: int, step: CeilingStep
    ) -> None:
        ids = [UUID(int=(UUID(key).int << 4) + version) for key in keys]
        await connection.fetchrow(self.own.reading, ids, keys)
        clauses = [
            self._state(keys, version),
            Clause("new_inbox", sql.ENTER, {"ids": ids}, rows=self.size),
        ]
        if self.shared is not None:
            first = next(self.numbers)  # orders of two lines: two SKUs of an order, all of a batch
            wanted = {SKUS[(first + n) % len(SKUS)] for n in range(min(2 * self.size, len(SKUS)))}
            rows = await self.shared.load(connection, wanted)
            clauses += self.shared.saving(rows, rows, ())
        value, topic = b"x" * step.value, self.relay.topic
        outbox = (topic, value, PACKED)
        values = arrays(("topic", "value", "headers"), [outbox] * self.size)
        clauses.append(Clause("new_outbox", sql.WRITE_OUTBOX, {**values, "key": keys}))
        await statement.run(connection, [*clauses, *self._rest(keys, step)])

    def _rest(self, keys: list[str], step: CeilingStep) -> Iterator[Clause]:
        if step.effect:
            is_call = step.effect == "call"
            due = None if is_call else datetime.now(UTC) + timedelta(hours=1)
            effect = (step.effect, b"x" * step.value, "x" * 55, due, int(is_call), 1)
            names = ("kind", "body", "traceparent", "due_at", "tries", "attempt")
            values = arrays(names, [effect] * self.size)
            own = {"id": [f"{key}:{step.effect}:1" for key in keys], "key": keys, "lease": LEASE}
            yield Clause("new_effects", sql.ADD_EFFECTS, {**values, **own})
        if step.finishes:
            done = [f"{key}:{step.finishes}:1" for key in keys]
            yield Clause("done_effects", sql.FINISH, {"ids": done})
        if journal := self.journal:
            line = (datetime.now(UTC), "points.awarded", "order.confirmed")
            values = arrays(("at", "cause", "published"), [line] * self.size)
            yield Clause("new_journal", journal_insert(journal), {"key": keys, **values})

    def _state(self, keys: list[str], version: int) -> Clause:
        """States as the product saves them, without the codec."""
        own = self.own
        detail = '{"x": "' + "x" * (self.rows.detail - 9) + '"}'
        row = (version, "State", detail, *("c-1" for _ in own.columns))
        names = ("version", "status", "detail", *(name for name, _ in own.columns))
        values = {own.key: keys, **arrays(names, [row] * self.size)}
        if version == 1:
            return Clause("new_states", own._insert, values, rows=self.size)  # noqa: SLF001
        values["loaded_version"] = [version - 1] * self.size
        return Clause("known_states", own._update, values, rows=self.size)  # noqa: SLF001


@asynccontextmanager
async def serving(place: RunServers, name: str, size: int) -> AsyncIterator[Submit]:
    url, steps = place.url(name), ROWS[name].steps
    value = b"x" * (sum(step.value for step in steps) // len(steps))
    async with make_producer(Cluster(place.kafka), name) as producer:
        relay = CeilingRelay(producer, place.topic(name), value)
        if name not in WITH_DATABASE:
            yield partial(_send_only, relay, size)
            return
        pool = asyncpg.create_pool(
            url, min_size=2, max_size=8, server_settings=PLANNED_ONCE, reset=no_reset
        )
        lazy = {**PLANNED_ONCE, "synchronous_commit": "off"}
        lead_pool = asyncpg.create_pool(url, min_size=1, max_size=1, server_settings=lazy)
        async with pool, lead_pool, lead_pool.acquire() as leading, beside(relay.run(leading)):
            yield Writer(name, size, pool, relay).batch


async def _send_only(relay: CeilingRelay, size: int, order: MixOrder) -> None:
    keys = (f"{UUID(int=order.number * size + n)}".encode() for n in range(size))
    await relay.send([(key, relay.value) for key in keys])
