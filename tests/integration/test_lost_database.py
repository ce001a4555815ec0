"""A service's database is lost under load, rebuilt by the command, and the service goes on with it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import pytest
from redis import Redis

from saga_cli.stack import postgres
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME, SERVICES, Addresses
from tests.support.saga import on_servers
from tests.support.servers import log_of, private_stack, start_each
from tests.support.shop import Load, settled
from tests.support.waiting import until

pytestmark = pytest.mark.long(70)

BEFORE: Final = 25
AFTER: Final = 15


@pytest.fixture(scope="module")
def system() -> Iterator[Services]:
    """One whose order service acknowledges only what the log has."""
    with private_stack() as (services, _):
        start_each(services, variables={"ORDER_ACKNOWLEDGE": "published"})
        yield services


@contextmanager
def load_on(services: Services) -> Iterator[Load]:
    with Load(services.url("order"), cancels=True).running() as load:
        load.await_more(BEFORE)
        yield load
        load.await_more(AFTER)


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
