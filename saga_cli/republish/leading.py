"""A service's own store, opened to publish in the place of its relay."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from chassis import clock
from chassis.errors import UnusableStoreError
from chassis.kafka import Cluster
from chassis.postgres import LOCK, LOCK_CLASS, PostgresDatabase, PostgresStore
from chassis.redis import LEASE_MS, RedisDatabase, RedisStore
from chassis.service import Service
from chassis.store import Store
from guarantees.declared import layout_of, tables_of
from saga_cli.targets import Targets
from saga_cli.topology import BY_NAME

TAKE_S: Final = 60.0
LOOK_S: Final = 0.02
RENEW_S: Final = 1.0
DEPOSE: Final = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND classid = $1::int::oid AND objid = $2::int::oid
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""A relay whose session ends lets others ask for the lead before it does so again."""


@asynccontextmanager
async def opened(places: Targets, service: Service) -> AsyncIterator[Store]:
    """Raises UnusableStoreError for a store whose data are not whole."""
    url = places.store_of(service.name)
    if BY_NAME[service.name].has_database:
        database = PostgresDatabase.at(url)
        store: Store = await PostgresStore.connect(service, *tables_of(service.name), database)
    else:
        store = await _in_redis(service, url, places.kafka)
    try:
        yield store
    finally:
        await store.close()


async def _in_redis(service: Service, url: str, cluster: Cluster) -> Store:
    database = RedisDatabase.at(url)
    store = await RedisStore.connect(service, layout_of(service.name), database, cluster)
    epoch: Any = await store.redis.get(store.keys.epoch)
    if epoch is None:
        await store.close()
        raise UnusableStoreError(f"the Redis of {service.name} has lost its data, or never had any")
    store.epoch = epoch.decode()
    return store


@asynccontextmanager
async def leading(store: Store) -> AsyncIterator[None]:
    """Relays wait meanwhile: nothing new of a key is published before what is put back."""
    async with asyncio.timeout(TAKE_S):
        await _depose(store)
        while not await store.lead():
            await clock.wait(LOOK_S)
    renewing = asyncio.create_task(_renew(store))
    try:
        yield
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing
        await store.resign()


async def _depose(store: Store) -> None:
    if isinstance(store, PostgresStore):
        async with store.reading() as connection:
            await connection.fetch(DEPOSE, LOCK_CLASS, LOCK)
    elif isinstance(store, RedisStore):
        await store.redis.set(store.keys.relay, store.token, px=LEASE_MS)


async def _renew(store: Store) -> None:
    """Where the lead is a lease it goes on; whoever lost it sends no more."""
    while await store.lead():
        await clock.wait(RENEW_S)
