"""The cache of what is for sale: emptied, away, full. The database's answer is given all the time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import inventory_svc
from chassis import clock, ids
from chassis.message import Decided, Message
from chassis.postgres import PostgresDatabase, migrations
from chassis.postgres.inspection import PostgresInspection
from chassis.postgres.store import PostgresStore
from chassis.redis import RedisDatabase
from inventory_svc.availability import Availability
from inventory_svc.messages import SetStock
from inventory_svc.service import SERVICE
from inventory_svc.store import RESERVATIONS, STOCK
from saga_cli.stack.servers import Servers
from saga_cli.topology import BY_NAME
from tests.support.opened import Opened
from tests.support.records import TRACE
from tests.support.servers import private_servers
from tests.support.waiting import until_async


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with private_servers() as made:
        yield made


@dataclass(frozen=True)
class Shop:
    """The cache, and the store whose commits it follows."""

    availability: Availability
    opened: Opened

    async def of(self, skus: list[str]) -> dict[str, int]:
        return await self.availability.of(skus)

    @property
    def redis(self) -> Any:
        return self.availability.redis


@pytest.fixture
async def shop(servers: Servers) -> AsyncIterator[Shop]:
    database = PostgresDatabase.at(servers.addresses.database_url(BY_NAME["inventory"]))
    await migrations.migrate(Path(inventory_svc.__file__ or "").parent / "migrations", database)
    store = await PostgresStore.connect(SERVICE, RESERVATIONS, STOCK, database)
    cache = RedisDatabase.at(f"{servers.addresses.redis_url}/1")
    redis = cache.client(socket_timeout=2)
    availability = Availability(store, redis, cache)
    opened = Opened.of(SERVICE, store, PostgresInspection(store))
    opened.core.bus.committed.append(availability.committed)
    yield Shop(availability, opened)
    await redis.aclose()
    await store.close()


@asynccontextmanager
async def _refreshing(shop: Shop) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    running = asyncio.create_task(shop.availability.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await running


async def _set(shop: Shop, sku: str, on_hand: int) -> None:
    message = Message(
        id=ids.derived_id(ids.new_id()),
        key=sku,
        body=SetStock(sku=sku, on_hand=on_hand),
        at=clock.now(),
        traceparent=TRACE,
    )
    (outcome,) = await shop.opened.handle([message])
    assert isinstance(outcome, Decided)


async def _cached(shop: Shop, sku: str) -> int | None:
    await shop.redis.connection_pool.disconnect()  # those of before a restart are of no use
    value = await shop.redis.get(f"availability:{sku}")
    return None if value is None else int(value)


async def _has_cached(shop: Shop, sku: str, count: int) -> bool:
    return await _cached(shop, sku) == count


async def test_an_emptied_cache_answers_right_and_is_filled_again(shop: Shop) -> None:
    await _set(shop, "CUP", 7)
    assert await shop.of(["CUP", "NO-SUCH"]) == {"CUP": 7}
    assert await _cached(shop, "CUP") == 7
    await shop.redis.flushall()
    assert await shop.of(["CUP", "NO-SUCH"]) == {"CUP": 7}
    assert await _cached(shop, "CUP") == 7


async def test_a_change_while_the_cache_was_away_reaches_it_when_it_is_back(
    shop: Shop, servers: Servers
) -> None:
    """Its old figure is on its disk and comes back with it."""
    await _set(shop, "VASE", 7)
    async with _refreshing(shop):
        assert await shop.of(["VASE"]) == {"VASE": 7}
        servers.redis.kill()
        await _set(shop, "VASE", 3)
        assert await shop.of(["VASE"]) == {"VASE": 3}
        await asyncio.to_thread(servers.restart, servers.redis)
        in_time = 8  # before the old figure would have run out by itself
        await until_async(lambda: _has_cached(shop, "VASE", 3), in_time, "the new figure")
        assert await shop.of(["VASE"]) == {"VASE": 3}


async def test_a_full_cache_is_no_reason_not_to_answer(shop: Shop) -> None:
    await _set(shop, "RUG", 5)
    await shop.redis.config_set("maxmemory", 1)
    assert await shop.of(["RUG"]) == {"RUG": 5}
    await shop.redis.config_set("maxmemory", 0)
    assert await shop.of(["RUG"]) == {"RUG": 5}
    assert await _cached(shop, "RUG") == 5
