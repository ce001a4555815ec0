"""The whole system with a Stripe that fails one call in ten, and payment processes that die."""

import asyncio
import random
from collections.abc import Callable, Iterator

import httpx
import pytest

from chaos.fake_stripe import API_KEY, SECRET, FakeStripe, fake_stripe
from chaos.stripe_books import disagreements
from guarantees.services import BY_NAME
from saga_cli.stack.seed import seed
from saga_cli.stack.services import Instance, Services
from saga_cli.verify.reconcile import read_books
from tests.support.dying import PLACE, until_each_died
from tests.support.servers import fast_paths, private_stack
from tests.support.shop import answered, place_many, settled

pytestmark = pytest.mark.long(80)
BOTH = ("all", "none")
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
    """Two payment processes, with all fast paths and with none, die around their calls.

    Orders and refunds flow meanwhile.
    """
    services, fake = system
    enough = len(fake.faults) + 10
    before = asyncio.run(place_many([services.url("order")], 40))
    assert settled(services, before, 240).violations == []
    confirmed = [o for o in before if state_of(services, o) == "CONFIRMED"]
    assert len(confirmed) >= 8
    assert {instance.process.stop() for instance in alive(services)} == {0}
    environment = {**stripe_environment(fake), PLACE: place}
    fragile = [services.start("payment", environment | fast_paths("payment", on)) for on in BOTH]
    services.await_ready(fragile)
    fake.webhooks = [f"{instance.url}/webhooks/stripe" for instance in fragile]
    acknowledged = asyncio.run(
        flow(services, fragile, confirmed[:8], lambda: len(fake.faults) >= enough)
    )
    services.await_ready(fragile)
    report = settled(services, [*before, *acknowledged], 300)
    assert report.violations == []
    assert [state_of(services, order_id) for order_id in confirmed[:8]] == ["CANCELLED"] * 8
    payments = asyncio.run(read_books(services.addresses.store_of)).rows["payment"]
    assert disagreements(fake.books, payments) == []


async def flow(
    services: Services,
    fragile: list[Instance],
    to_cancel: list[str],
    is_enough: Callable[[], bool],
) -> list[str]:
    """Orders and some cancellations, until each process has died and is back, and it is enough."""
    url = services.url("order")

    async def cancel_all() -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            for order_id in to_cancel:
                cancel = f"{url}/orders/{order_id}/cancel"
                await answered(client, cancel, {(200, ""), (202, "")})

    dying = until_each_died(fragile, url, 10, is_enough)
    placed, _ = await asyncio.gather(dying, cancel_all())
    return placed


def alive(services: Services) -> list[Instance]:
    return [instance for instance in services.of("payment") if instance.process.is_alive()]


def state_of(services: Services, order_id: str) -> str:
    return str(httpx.get(f"{services.url('order')}/orders/{order_id}").json()["state"])
