"""A store of each kind, on any service's tables, and what a test may look up behind its port."""

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

import loyalty_svc.service
import shipping_svc.service
from chassis import migrations
from chassis.errors import ConcurrentChangeError
from chassis.message import Message, Outcome
from chassis.postgres import PostgresStore
from chassis.postgres_operations import PostgresOperations
from chassis.service import Service
from chassis.state_tables import SharedTable, StateTable
from chassis.store import Operations
from loyalty_svc.operations import RedisOperations
from loyalty_svc.store import RedisStore
from saga_cli.topology import BY_NAME, Addresses
from shared_events.payment import PaymentCaptured
from shared_events.shipping import ShipmentCreated
from shared_events.values import Order
from shipping_svc.store import SHIPMENTS
from simulation.database import Database
from simulation.memory_operations import MemoryOperations
from simulation.memory_store import MemoryStore
from tests.support.records import a_message
from tests.support.waiting import until_async

Connect = Callable[[Service], Awaitable[Any]]
OFFSETS = itertools.count()
ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Kind:
    """One kind of store: its service, how to open and operate it, and an order's first event."""

    service: Service
    connect: Connect
    operations: Callable[[Any], Operations]
    first: Callable[[Order], Message]

    def failing_on(self, order_id: str) -> Service:
        """The service with a bug that one order meets."""

        def decide(state: Any, message: Any, at: Any) -> Any:
            order = getattr(message, "order", None)
            if order is not None and order.order_id == order_id:
                raise ZeroDivisionError("a bug in the rules")
            return self.service.decide(state, message, at)

        return replace(self.service, decide=decide)


@dataclass(frozen=True)
class Home:
    """Where a service's states live."""

    service: Service
    own: StateTable
    shared: SharedTable | None = None


def _captured(order: Order) -> Message:
    event = PaymentCaptured(order=order, captured_minor=order.total_minor, provider_ref="p")
    return a_message(event, next(OFFSETS))


def _created(order: Order) -> Message:
    return a_message(ShipmentCreated(order=order, shipment_id="S"), next(OFFSETS))


SHIPPING: Final = Home(shipping_svc.service.SERVICE, SHIPMENTS)


def kind_of(request: pytest.FixtureRequest, home: Home = SHIPPING) -> Kind:
    """The kind that a fixture's parameter names. Memory starts no server."""
    match request.param:
        case "memory" | "memory, reading" as how:
            return in_memory(home, trusting=how == "memory")
        case "redis":
            return on_redis(request.getfixturevalue("addresses"))
        case how:
            addresses = request.getfixturevalue("addresses")
            return on_postgres(addresses, home, trusting=how == "postgres")


def on_postgres(addresses: Addresses, home: Home = SHIPPING, *, trusting: bool = True) -> Kind:
    """Without trust in what it knows, every batch is read before it is decided."""
    url = addresses.database_url(BY_NAME[home.service.name])
    migrated = False

    async def connect(service: Service) -> PostgresStore:
        nonlocal migrated
        if not migrated:
            await migrations.migrate(ROOT / f"{home.service.name}_svc" / "migrations", url)
            migrated = True
        store = await PostgresStore.connect(service, home.own, home.shared, url)
        if not trusting:
            store.known.doubt(math.inf)
        return store

    return Kind(home.service, connect, PostgresOperations, _captured)


def on_redis(addresses: Addresses) -> Kind:
    async def connect(service: Service) -> RedisStore:
        url = f"{addresses.redis_url}/0"
        store = await RedisStore.connect(service, url, addresses.kafka_bootstrap)
        await store.prepare(asyncio.Event())
        return store

    return Kind(loyalty_svc.service.SERVICE, connect, RedisOperations, _created)


def in_memory(home: Home = SHIPPING, *, trusting: bool = True) -> Kind:
    database = Database(statement=_others_come_between)

    async def connect(service: Service) -> MemoryStore:
        store = MemoryStore(service, database, home.shared)
        if not trusting:
            store.known.doubt(math.inf)
        return store

    return Kind(home.service, connect, MemoryOperations, _captured)


async def _others_come_between(_statement: str) -> None:
    await asyncio.sleep(0)


class TakenBackError(Exception):
    """Rolls a transaction back."""


@asynccontextmanager
async def two(kind: Kind) -> AsyncIterator[tuple[Any, Any]]:
    """Two processes on one database."""
    stores = [await kind.connect(kind.service) for _ in range(2)]
    yield stores[0], stores[1]
    for store in stores:
        await store.close()


@asynccontextmanager
async def held(store: Any, *messages: Message, rolled_back: bool = False) -> AsyncIterator[None]:
    """A transaction that has written all and is open for the length of the block."""
    with suppress(TakenBackError):
        async with store.transaction() as transaction:
            await store._decide(transaction, messages, ())
            yield
            if rolled_back:
                raise TakenBackError


async def started_over(store: Any, waiter: asyncio.Task[list[Outcome]], message: Message) -> Any:
    """What came of the second of two: who decided by what it knew reads it now, others are told to."""
    if math.isinf(store.known._doubted_until):
        with pytest.raises(ConcurrentChangeError):
            await waiter
        return (await store.handle([message]))[0]
    try:
        (outcome,) = await waiter
    except ConcurrentChangeError:
        (outcome,) = await store.handle([message])
    return outcome


async def shared_row(store: PostgresStore | MemoryStore, key: str) -> Any:
    """What a row that orders share holds."""
    if isinstance(store, MemoryStore):
        return store.database.shared[key]
    assert store.shared is not None
    async with store.reading() as connection:
        return (await store.shared.load(connection, [key]))[key]


async def timeline(store: PostgresStore | MemoryStore, key: str) -> list[tuple[str, str]]:
    """What an order's timeline says: heard and said."""
    if isinstance(store, MemoryStore):
        return [(t.heard, t.said) for t in store.database.timeline.values() if t.key == key]
    query = "SELECT heard, said FROM timeline WHERE order_id = $1 ORDER BY id"
    async with store.reading() as connection:
        return [tuple(row) for row in await connection.fetch(query, key)]


async def waiting(store: PostgresStore | MemoryStore) -> int:
    """How many transactions of the store's database wait for a lock."""
    if isinstance(store, MemoryStore):
        return sum(t.waits_for is not None for t in store.database.open)
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with store.reading() as connection:
        return int(await connection.fetchval(query))


async def waits(store: Any, waiter: asyncio.Task[Any]) -> None:
    """Return when the waiter is held up by a lock."""

    async def is_held_up() -> int:
        assert not waiter.done(), "it did not wait"
        return await waiting(store)

    await until_async(is_held_up, 20, "a transaction that waits")
    assert not waiter.done()


async def cut(store: PostgresStore | MemoryStore) -> None:
    """The server ends the session that leads; returns when the client has seen it."""
    if isinstance(store, MemoryStore):
        store.database.disconnected(store)
        return
    leading = store._leading
    assert leading is not None
    async with store.reading() as connection:
        query = "SELECT pg_terminate_backend($1)"
        assert await connection.fetchval(query, leading.get_server_pid())
    with suppress(asyncpg.InterfaceError):  # the pool has taken it back
        await until_async(leading.is_closed, 20, "the end of the session")
