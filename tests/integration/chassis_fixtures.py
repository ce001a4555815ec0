"""A store of each kind, and the event that a store's service acts on."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import loyalty_svc.service
import shipping_svc
import shipping_svc.service
from chassis import migrations
from chassis.message import Message
from chassis.postgres import PostgresStore
from chassis.postgres_operations import PostgresOperations
from chassis.service import Service
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

Connect = Callable[[Service], Awaitable[Any]]
OFFSETS = itertools.count()


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


async def kind_of(request: pytest.FixtureRequest) -> Kind:
    """The kind that a fixture's parameter names. Memory starts no server."""
    match request.param:
        case "memory":
            return in_memory()
        case "redis":
            return on_redis(request.getfixturevalue("addresses"))
        case _:
            return await on_postgres(request.getfixturevalue("addresses"))


async def on_postgres(addresses: Addresses) -> Kind:
    url = addresses.database_url(BY_NAME["shipping"])
    await migrations.migrate(Path(shipping_svc.__file__ or "").parent / "migrations", url)

    async def connect(service: Service) -> PostgresStore:
        return await PostgresStore.connect(service, SHIPMENTS, None, url)

    return Kind(shipping_svc.service.SERVICE, connect, PostgresOperations, _captured)


def on_redis(addresses: Addresses) -> Kind:
    async def connect(service: Service) -> RedisStore:
        url = f"{addresses.redis_url}/0"
        store = await RedisStore.connect(service, url, addresses.kafka_bootstrap)
        await store.prepare(asyncio.Event())
        return store

    return Kind(loyalty_svc.service.SERVICE, connect, RedisOperations, _created)


def in_memory() -> Kind:
    database = Database(statement=_others_come_between)

    async def connect(service: Service) -> MemoryStore:
        return MemoryStore(service, database)

    return Kind(shipping_svc.service.SERVICE, connect, MemoryOperations, _captured)


async def _others_come_between(_statement: str) -> None:
    await asyncio.sleep(0)


def _captured(order: Order) -> Message:
    event = PaymentCaptured(order=order, captured_minor=order.total_minor, provider_ref="p")
    return a_message(event, next(OFFSETS))


def _created(order: Order) -> Message:
    return a_message(ShipmentCreated(order=order, shipment_id="S"), next(OFFSETS))
