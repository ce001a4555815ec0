"""A store of each kind, on any service's tables, and what a test may look up behind its port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from redis.asyncio import Redis

import loyalty_svc.service
import shipping_svc.service
from chassis.handle import Handler
from chassis.message import Message
from chassis.postgres import PostgresDatabase, migrations
from chassis.postgres.inspection import PostgresInspection
from chassis.postgres.state_tables import SharedTable, StateTable
from chassis.postgres.store import PostgresStore
from chassis.process.settings import ALL_FAST_PATHS, FastPath
from chassis.redis import RedisDatabase, rights
from chassis.redis.inspection import RedisInspection
from chassis.redis.store import RedisStore
from chassis.service import Service
from loyalty_svc.store import LAYOUT
from saga_cli.topology import BY_NAME, Addresses, place_of
from shared_events.payment import PaymentCaptured
from shared_events.shipping import ShipmentCreated
from shared_events.values import Order
from shipping_svc.store import SHIPMENTS
from simulation.database import Database as SimulatedDatabase
from simulation.memory_inspection import MemoryInspection
from simulation.memory_store import MemoryStore
from tests.integration.store_probes import MemoryProbe, PostgresProbe
from tests.support.opened import Opened
from tests.support.records import about
from tests.support.waiting import until_async

Connect = Callable[[Service], Awaitable[Opened]]
ROOT: Final = Path(__file__).parents[2]
STORES: Final = ("postgres", "postgres, reading", "memory", "memory, reading")
"""With all fast paths on, and off (`reading`). Redis may lose what it committed: none is trusted there."""


@dataclass(frozen=True)
class Kind:
    """One kind of store: its service, how to open and operate it, and an order's first event."""

    service: Service
    connect: Connect
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


def message_of_capture(order: Order) -> Message:
    event = PaymentCaptured(order=order, captured_minor=order.total_minor, provider_ref="p")
    return about(event)


def _created(order: Order) -> Message:
    return about(ShipmentCreated(order=order, shipment_id="S"))


SHIPPING: Final = Home(shipping_svc.service.SERVICE, SHIPMENTS)


def kind_of(request: pytest.FixtureRequest, home: Home = SHIPPING) -> Kind:
    """The kind that a fixture's parameter names. Memory starts no server."""
    match request.param:
        case "memory" | "memory, reading" as how:
            return in_memory(home, paths_of(how))
        case "redis":
            return on_redis(request.getfixturevalue("addresses"))
        case how:
            addresses = request.getfixturevalue("addresses")
            return on_postgres(addresses, home, paths_of(how))


def paths_of(how: str) -> frozenset[FastPath]:
    """Reading, every batch is read before it is decided, and all fast paths are off."""
    return frozenset() if how.endswith("reading") else ALL_FAST_PATHS


def on_postgres(
    addresses: Addresses, home: Home = SHIPPING, fast_paths: frozenset[FastPath] = ALL_FAST_PATHS
) -> Kind:
    spec = BY_NAME[home.service.name]
    database = PostgresDatabase.at(addresses.database_url(spec))
    owner = PostgresDatabase.at(addresses.owner_url(spec))
    migrated = False

    async def connect(service: Service) -> Opened:
        nonlocal migrated
        if not migrated:
            folder = ROOT / f"{home.service.name}_svc" / "migrations"
            await migrations.migrate(folder, database, owner)
            migrated = True
        store = await PostgresStore.connect(service, home.own, home.shared, database)
        opened = Opened.of(service, store, PostgresInspection(store), fast_paths=fast_paths)
        return replace(opened, probe=PostgresProbe(store))

    return Kind(home.service, connect, message_of_capture)


def on_redis(addresses: Addresses) -> Kind:
    """As the user of the service, who may do what its code does and nothing else."""
    spec = BY_NAME[loyalty_svc.service.SERVICE.name]
    rule = rights.rule_of(spec.redis_keys, keeps_state=True).split()

    async def connect(service: Service) -> Opened:
        admin: Any = Redis.from_url(addresses.redis_url)
        async with admin:
            await admin.execute_command("ACL", "SETUSER", spec.name, "on", ">own", *rule)
        place = place_of(addresses.redis_url)
        redis = RedisDatabase.at(f"redis://{spec.name}:own@{place}/{spec.redis_database}")
        store = await RedisStore.connect(service, LAYOUT, redis, addresses.kafka)
        await store.prepare(asyncio.Event())
        return Opened.of(service, store, RedisInspection(store))

    return Kind(loyalty_svc.service.SERVICE, connect, _created)


def in_memory(home: Home = SHIPPING, fast_paths: frozenset[FastPath] = ALL_FAST_PATHS) -> Kind:
    database = SimulatedDatabase(statement=_others_come_between)

    async def connect(service: Service) -> Opened:
        store = MemoryStore(service, database, home.shared)
        opened = Opened.of(service, store, MemoryInspection(store), fast_paths=fast_paths)
        return replace(opened, probe=MemoryProbe(store))

    return Kind(home.service, connect, message_of_capture)


async def _others_come_between(_statement: str) -> None:
    await asyncio.sleep(0)


class TakenBackError(Exception):
    """Rolls a transaction back."""


@asynccontextmanager
async def two(kind: Kind) -> AsyncIterator[tuple[Any, Any]]:
    """Two processes on one database."""
    stores = [await kind.connect(kind.service) for _ in range(2)]
    try:
        yield stores[0], stores[1]
    finally:
        for store in stores:
            await store.close()


@dataclass(frozen=True)
class _Within:
    """Units of work that are all one, in a transaction that others open and end."""

    unit: Any

    @asynccontextmanager
    async def begin(self, *, is_retry: bool = False) -> AsyncIterator[Any]:
        del is_retry
        yield self.unit


@asynccontextmanager
async def held(
    opened: Opened, *messages: Message, rolled_back: bool = False
) -> AsyncIterator[None]:
    """A transaction that has written all and is open for the length of the block."""
    store = opened.store
    with suppress(TakenBackError):
        async with store.transaction() as transaction:
            unit = _Within(opened.probe.unit(transaction))
            await Handler(store.service, unit).handle(messages)
            yield
            if rolled_back:
                raise TakenBackError


async def waits(opened: Opened, waiter: asyncio.Task[Any]) -> None:
    """Return when the waiter is held up by a lock."""

    async def is_held_up() -> int:
        assert not waiter.done(), "it did not wait"
        return int(await opened.probe.waiting())

    await until_async(is_held_up, 20, "a transaction that waits")
    assert not waiter.done()
