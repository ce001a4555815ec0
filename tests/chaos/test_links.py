"""What a broken link does to the clients of a server: their errors pass, and nothing ends by them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from chaos.proxy import Proxy
from chassis.errors import TransientError
from chassis.kafka import Cluster
from chassis.postgres import PostgresDatabase, migrations
from chassis.postgres.store import PostgresStore
from chassis.process import runtime
from chassis.redis import RedisDatabase
from chassis.redis.server import Server
from chassis.redis.store import RedisStore
from inventory_svc import __main__ as inventory
from inventory_svc.availability import Availability
from inventory_svc.service import SERVICE
from inventory_svc.store import RESERVATIONS, STOCK
from loyalty_svc import service as loyalty
from loyalty_svc.store import LAYOUT
from saga_cli.topology import BY_NAME, Addresses
from tests.support.waiting import until_async

SPEC = BY_NAME["inventory"]


@asynccontextmanager
async def linked(addresses: Addresses) -> AsyncIterator[tuple[PostgresStore, Proxy]]:
    """Inventory's store, and the link over which it reaches its database."""
    place = urlsplit(addresses.postgres_url)
    link = Proxy((place.hostname or "", place.port or 0))
    await link.accept()
    direct = f"{place.hostname}:{place.port}"
    moved = replace(addresses, postgres_url=addresses.postgres_url.replace(direct, link.address))
    await migrations.migrate(
        runtime.migrations_of(inventory.__file__), PostgresDatabase.at(addresses.database_url(SPEC))
    )
    store = await PostgresStore.connect(
        SERVICE, RESERVATIONS, STOCK, PostgresDatabase.at(moved.database_url(SPEC))
    )
    try:
        yield store, link
    finally:
        await store.close()
        await link.close()


async def test_a_session_that_ends_before_its_connection_ends_no_process(
    addresses: Addresses,
) -> None:
    """The server's last word to an idle session is there, the end of the connection is not yet."""
    async with linked(addresses) as (store, link):
        parked = (await store.backlog()).parked_messages
        async with store.async_commit_pool.acquire() as connection:
            pid = connection.get_server_pid()
        admin = await asyncpg.connect(addresses.postgres_url)
        link.cut(there=False)
        await admin.execute("SELECT pg_terminate_backend($1)", pid)
        await until_async(lambda: link.back._waiters)
        link.back.set()
        link.back.clear()  # what was held back passes, and nothing after it
        await until_async(lambda: link.back._waiters)
        await admin.fetchval("SELECT 1")  # the store's socket is read meanwhile
        with pytest.raises(TransientError):
            await store.backlog()
        await link.heal()
        await admin.close()
        assert (await store.backlog()).parked_messages == parked


class Torn:
    """A Redis whose connection was closed between two commands, as uvloop says it."""

    async def mget(self, *_: object) -> object:
        return await self.eval()

    async def eval(self, *_: object) -> object:
        raise RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")

    def pipeline(self, **_: object) -> object:
        raise RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")


async def test_a_connection_to_redis_that_is_torn_between_two_commands_ends_no_process() -> None:
    torn: Any = Torn()
    store = RedisStore(
        service=loyalty.SERVICE,
        redis=torn,
        cluster=Cluster("h:9092"),
        server=Server(RedisDatabase.at("redis://none")),
        keys=LAYOUT.keys,
        layout=LAYOUT,
    )
    with pytest.raises(TransientError):
        await store.call(torn.eval())
    await store.resign()


async def test_without_its_cache_inventory_answers_from_the_database(addresses: Addresses) -> None:
    torn: Any = Torn()
    async with linked(addresses) as (store, _):
        assert (
            await Availability(store, torn, RedisDatabase.at("redis://none")).of(["NO-SUCH-THING"])
            == {}
        )
