"""A service's database is lost under load, rebuilt by the command, and the service goes on with it."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import httpx
import pytest
from redis import Redis

from saga_cli.stack import postgres
from saga_cli.stack.seed import seed
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME, SERVICES, Addresses
from tests.support.saga import on_servers
from tests.support.servers import log_of, private_stack
from tests.support.shop import place_many, settled
from tests.support.waiting import until, until_async

pytestmark = pytest.mark.long

BEFORE: Final = 25
AFTER: Final = 15


@pytest.fixture(scope="module")
def system() -> Iterator[Services]:
    """One whose order service acknowledges only what the log has."""
    with private_stack() as (services, _):
        for spec in SERVICES:
            services.start(spec.name, {"ORDER_ACKNOWLEDGE": "published"})
        services.await_ready(services.instances)
        seed(services.url)
        yield services


@dataclass
class Load:
    """Mixed orders, some of them cancelled, until it is enough."""

    url: str
    acknowledged: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    async def flow(self) -> None:
        async with httpx.AsyncClient(timeout=15) as client:
            while not self.enough.is_set():
                placed = await place_many([self.url], 10, at_once=5)
                self.acknowledged += placed
                await self._cancel(client, placed[0])
                await asyncio.sleep(0.5)  # a rebuild is slower than any number of orders

    async def _cancel(self, client: httpx.AsyncClient, order_id: str) -> None:
        async def is_answered() -> bool:
            try:
                answer = await client.post(f"{self.url}/orders/{order_id}/cancel")
            except httpx.TransportError:
                return False
            assert answer.status_code in {202, 409, 429, 503}, answer.text
            return answer.status_code in {202, 409}

        await until_async(is_answered, 60, f"the answer to {order_id}", pause_s=0.1)


@contextmanager
def load_on(services: Services) -> Iterator[Load]:
    load = Load(services.url("order"))
    with ThreadPoolExecutor(1) as pool:
        flowing = pool.submit(asyncio.run, load.flow())
        try:
            until(lambda: len(load.acknowledged) >= BEFORE or flowing.done())
            yield load
            there = len(load.acknowledged)
            until(lambda: len(load.acknowledged) >= there + AFTER or flowing.done())
        finally:
            load.enough.set()
        flowing.result()


def destroy(addresses: Addresses, name: str) -> None:
    spec = BY_NAME[name]
    if not spec.has_database:
        with Redis.from_url(f"{addresses.redis_url}/{spec.redis_database}") as redis:
            redis.flushdb()
        return

    async def drop() -> None:
        admin = await asyncpg.connect(addresses.postgres_url)
        await admin.execute(f"DROP DATABASE {spec.database} WITH (FORCE)")
        await admin.close()

    asyncio.run(drop())


def rebuilt(services: Services, name: str) -> bool:
    """False while the killed process counts as a member of its group still."""
    ended = on_servers(services, "replay", name, "--in-place", "--yes")
    assert ended.code == 0 or f"{name} runs" in ended.err, ended
    return ended.code == 0


@pytest.mark.parametrize("name", [spec.name for spec in SERVICES])
def test_a_lost_database_is_rebuilt_and_every_acknowledged_order_settles(
    system: Services, name: str
) -> None:
    (instance,) = system.of(name)
    with load_on(system) as load:
        instance.process.kill()
        destroy(system.addresses, name)
        until(lambda: rebuilt(system, name), 60)
        instance.process.start()
        system.await_ready([instance])
    report = settled(system, load.acknowledged)
    assert report.violations == [], report
    verified = on_servers(system, "verify")
    assert verified.code == 0, verified


def test_a_service_does_not_begin_anew_on_an_empty_database(system: Services) -> None:
    """As it would where somebody, or an orchestrator, makes the lost database again and starts it."""
    (instance,) = system.of("payment")
    assert instance.process.stop() == 0
    destroy(system.addresses, "payment")
    postgres.create_databases(system.addresses)
    instance.process.start()
    assert instance.process.await_exit(60) == 1
    assert "saga replay payment --in-place" in log_of(instance.process)
    until(lambda: rebuilt(system, "payment"), 60)
    instance.process.start()
    system.await_ready([instance])
    assert on_servers(system, "verify", "payment").code == 0
