"""Kills, repeats and outages while orders flow: nothing is lost, nothing is done twice."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial

import httpx
import pytest

from guarantees.services import BY_NAME
from saga_cli.log.reader import read
from saga_cli.stack.servers import Servers
from saga_cli.stack.services import Instance, Services
from tests.support.dying import PLACE, until_each_died
from tests.support.redelivery import (
    all_read,
    fingerprint,
    forget_what_was_seen,
    members,
    send_all_again,
)
from tests.support.servers import fast_paths, private_stack, start_each
from tests.support.shop import Load, place_many, settled
from tests.support.waiting import until

pytestmark = pytest.mark.long(180)

SERVICES = tuple(BY_NAME)


@pytest.fixture(scope="module")
def system() -> Iterator[tuple[Services, Servers]]:
    """A system of this module's own, which its tests may break and mend."""
    with private_stack() as (services, servers):
        start_each(services)
        yield services, servers


# The two that send the log again come first: it is short still.


def test_every_event_delivered_again_changes_nothing(system: tuple[Services, Servers]) -> None:
    services, _ = system
    acknowledged = asyncio.run(place_many([services.of("order")[-1].url], 60))
    assert settled(services, acknowledged).violations == []
    cluster = services.addresses.kafka
    before = asyncio.run(read(cluster))
    books = asyncio.run(fingerprint(services.addresses))
    sent = asyncio.run(send_all_again(cluster))
    assert sent >= len(before)
    asyncio.run(all_read(cluster))
    after = asyncio.run(read(cluster))
    assert {e.envelope.id for e in after} == {e.envelope.id for e in before}
    assert len(after) == len(before) + sent, "a repeat led to a new event"
    assert asyncio.run(fingerprint(services.addresses)) == books


def test_without_an_inbox_the_rules_themselves_refuse_what_is_old(
    system: tuple[Services, Servers],
) -> None:
    """What the inbox has forgotten, or lost, each state answers with nothing."""
    services, _ = system
    acknowledged = asyncio.run(place_many([services.of("order")[-1].url], 60))
    assert settled(services, acknowledged).violations == []
    _cancel_some_and_send_some_off(services, acknowledged)
    assert settled(services, acknowledged).violations == []
    cluster = services.addresses.kafka
    before = asyncio.run(read(cluster))
    rows = asyncio.run(fingerprint(services.addresses))
    assert asyncio.run(forget_what_was_seen(services.addresses)) >= 9 * len(acknowledged) // 2
    sent = asyncio.run(send_all_again(cluster))
    asyncio.run(all_read(cluster))
    assert settled(services, acknowledged).violations == []
    after = asyncio.run(read(cluster))
    assert {e.envelope.id for e in after} == {e.envelope.id for e in before}
    assert len(after) == len(before) + sent, "an old event led to a new one"
    assert asyncio.run(fingerprint(services.addresses)) == rows


def _cancel_some_and_send_some_off(services: Services, orders: Sequence[str]) -> None:
    """Every fifth story went well: half of those are cancelled, half of the others dispatched first."""
    for number, order_id in enumerate(orders[::5]):
        if number % 4 == 1:
            url = f"{services.url('shipping')}/shipments/{order_id}/dispatch"
            httpx.post(url, timeout=30).raise_for_status()
        if number % 2:
            url = f"{services.url('order')}/orders/{order_id}/cancel"
            httpx.post(url, timeout=30).raise_for_status()


@pytest.mark.parametrize(
    ("place", "without"),
    [
        ("committed:5", SERVICES),
        ("committed:5", ()),
        ("published:5", ("order", "payment", "loyalty")),
        ("handled:5", ("inventory", "shipping")),
    ],
    ids=["committed, none", "committed, all", "published, mixed", "handled, mixed"],
)
def test_kills_at_the_worst_moment_lose_and_double_nothing(
    system: tuple[Services, Servers], place: str, without: Sequence[str]
) -> None:
    """Killed between database commit and publish, publish and removal, commit and offset.

    Each service is, those of `without` with no fast path and the others with all.
    """
    services, _ = system
    for instance in services.instances:
        instance.process.stop()
    fragile = []
    for service in SERVICES:
        leases = {f"{service.upper()}_PROVIDER_TIMEOUT_S": "3"}  # those of the dead are over sooner
        paths = fast_paths(service, "none" if service in without else "all")
        fragile.append(services.start(service, {PLACE: place, **leases, **paths}))
    services.await_ready(fragile)
    acknowledged = asyncio.run(until_each_died(fragile, services.url("order"), at_once=6))
    services.await_ready(fragile)
    report = settled(services, acknowledged)
    assert report.violations == []


def test_paused_processes_that_wake_up_after_their_partitions_are_gone_double_nothing(
    system: tuple[Services, Servers],
) -> None:
    """SIGSTOP for longer than a session: others own the partitions when the zombies go on."""
    services, _ = system
    sleepers = [next(i for i in services.of(s) if i.process.is_alive()) for s in SERVICES]
    awake = {name: sum(i.process.is_alive() for i in services.of(name)) for name in SERVICES}
    fresh = [services.start(service) for service in SERVICES]
    services.await_ready(fresh)
    cluster = services.addresses.kafka
    with Load(fresh[0].url).running() as load:
        load.await_more(20)
        for sleeper in sleepers:
            sleeper.process.suspend()
        until(lambda: asyncio.run(members(cluster)) == awake, 30, "groups without the sleepers")
        for sleeper in sleepers:
            sleeper.process.resume()
        load.await_more(20)
    assert settled(services, load.acknowledged).violations == []
    for sleeper in sleepers:
        assert sleeper.process.stop() == 0


def test_kafka_postgres_and_redis_die_under_load_and_come_back(
    system: tuple[Services, Servers],
) -> None:
    services, servers = system
    with Load(services.of("order")[-1].url).running() as load:
        for server in servers.all:
            load.await_more(20)
            server.kill()
            servers.restart(server)
        load.await_more(20)
    assert settled(services, load.acknowledged).violations == []


def test_the_broker_is_away_until_every_client_has_given_up_and_comes_back(
    system: tuple[Services, Servers],
) -> None:
    """A row waited for longer than request_timeout_ms, which is longer than a session."""
    services, servers = system
    order = [services.of("order")[-1].url]
    acknowledged = asyncio.run(place_many(order, 50))
    servers.kafka.kill()
    acknowledged += asyncio.run(place_many(order, 50))
    for instance in services.instances:
        if instance.process.is_alive():
            until(partial(_has_given_up, instance), 60, f"{instance.spec.name} misses Kafka")
    servers.restart(servers.kafka)
    acknowledged += asyncio.run(place_many(order, 50))
    assert settled(services, acknowledged).violations == []
    alive = [i for i in services.instances if i.process.is_alive()]
    assert {i.spec.name for i in alive} == set(SERVICES), "a service did not survive"


def _has_given_up(instance: Instance) -> bool:
    found = httpx.get(f"{instance.url}/health/ready", timeout=10).json()["reasons"]
    sent = {"relay_failing"} if instance.spec.name == "order" else set()
    return {"kafka_away", *sent} <= {reason["reason"] for reason in found}
