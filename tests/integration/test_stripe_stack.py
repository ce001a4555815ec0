"""The whole system with a Stripe that fails one call in ten, and payment processes that die."""

import asyncio
import random
from collections.abc import Iterator

import asyncpg
import httpx
import pytest

from chaos.fake_stripe import API_KEY, SECRET, FakeStripe, fake_stripe
from chaos.stripe_books import disagreements
from chassis.postgres import LOCK, LOCK_CLASS
from guarantees.services import BY_NAME
from saga_cli.stack.seed import seed
from saga_cli.stack.services import Instance, Services
from saga_cli.verify.reconcile import read_books
from tests.support.servers import private_stack
from tests.support.shop import place_many, settled
from tests.support.waiting import until, until_async

pytestmark = [pytest.mark.timeout(900), pytest.mark.long(140)]
OTHERS = tuple(name for name in BY_NAME if name != "payment")


@pytest.fixture(scope="module")
def system() -> Iterator[tuple[Services, FakeStripe]]:
    with private_stack() as (services, _), fake_stripe(hang_s=7) as fake:
        for name in OTHERS:
            services.start(name)
        steady = services.start("payment", stripe_environment(fake))
        services.await_ready(services.instances)
        seed(services.url)
        fake.webhooks = [f"{steady.url}/webhooks/stripe"]
        fake.chaos = random.Random(7)  # noqa: S311 - a plan of faults, the same each time
        yield services, fake


def stripe_environment(fake: FakeStripe) -> dict[str, str]:
    return {
        "PAYMENT_PROVIDER": "stripe",
        "PAYMENT_PROVIDER_TIMEOUT_S": "3",
        "PAYMENT_PROVIDER_CONCURRENCY": "10",  # a slow machine has to answer them all in time
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_API_BASE": fake.url,
        "STRIPE_WEBHOOK_SECRET": SECRET,
    }


@pytest.mark.parametrize("place", ["leased:3", "called:3", "committed:3"])
def test_orders_and_the_providers_ledger_agree_whatever_dies(
    system: tuple[Services, FakeStripe], place: str
) -> None:
    """Two payment processes; one is killed around its calls while orders and refunds flow."""
    services, fake = system
    met = len(fake.faults)
    before = asyncio.run(place_many([services.url("order")], 40))
    assert settled(services, before, 240).violations == []
    confirmed = [o for o in before if state_of(services, o) == "CONFIRMED"]
    assert len(confirmed) >= 8
    fragile = services.start("payment", {**stripe_environment(fake), "CHASSIS_CRASH_AT": place})
    services.await_ready([fragile])
    (steady,) = (each for each in alive(services) if each is not fragile)
    led = leader(services)
    assert steady.process.stop() == 0
    until(lambda: leader(services) not in {None, led}, 30, "the lead of the fragile one")
    steady.process.start()
    services.await_ready(alive(services))
    fake.webhooks = [f"{instance.url}/webhooks/stripe" for instance in alive(services)]

    acknowledged = asyncio.run(flow(services, fragile, confirmed[:8]))
    services.await_ready([fragile])
    fake.webhooks = [f"{instance.url}/webhooks/stripe" for instance in alive(services)]
    report = settled(services, [*before, *acknowledged], 300)
    assert report.violations == []
    assert len(fake.faults) - met >= 20, "too few faults were met"
    assert [state_of(services, order_id) for order_id in confirmed[:8]] == ["CANCELLED"] * 8
    payments = asyncio.run(read_books(services.addresses.store_of)).rows["payment"]
    assert disagreements(fake.books, payments) == []
    assert fragile.process.stop() == 0


async def flow(services: Services, fragile: Instance, to_cancel: list[str]) -> list[str]:
    """200 orders and some cancellations, until one process has died and is back."""
    url = services.url("order")
    placing = asyncio.create_task(place_many([url], 200, at_once=20))
    async with httpx.AsyncClient(timeout=30) as client:
        for order_id in to_cancel:
            answer = await client.post(f"{url}/orders/{order_id}/cancel")
            assert answer.status_code in {200, 202}, answer.text
    await until_async(lambda: not fragile.process.is_alive(), 120, "its death at the place")
    assert fragile.process.exit_code() == -9
    fragile.process.env = {
        name: value for name, value in fragile.process.env.items() if name != "CHASSIS_CRASH_AT"
    }
    fragile.process.start()
    return await placing


def leader(services: Services) -> int | None:
    """The session that relays payment's outbox, by its process of PostgreSQL."""

    async def look() -> int | None:
        connection = await asyncpg.connect(services.addresses.store_of("payment"))
        try:
            query = (
                "SELECT pid FROM pg_locks WHERE classid = $1 AND objid = $2 AND granted AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            found: int | None = await connection.fetchval(query, LOCK_CLASS, LOCK)
            return found
        finally:
            await connection.close()

    return asyncio.run(look())


def alive(services: Services) -> list[Instance]:
    return [instance for instance in services.of("payment") if instance.process.is_alive()]


def state_of(services: Services, order_id: str) -> str:
    return str(httpx.get(f"{services.url('order')}/orders/{order_id}").json()["state"])
