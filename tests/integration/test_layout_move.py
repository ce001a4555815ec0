"""A running system moves from one topic for each service to lanes, and a part of the way back."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from aiokafka.admin import NewPartitions

from chassis.kafka import PARTITIONS, Cluster, admin_client
from saga_cli.log.reader import LANES, read
from saga_cli.ops.topics import TopicUse, used
from saga_cli.stack.seed import seed
from saga_cli.stack.services import Instance, Services
from saga_cli.targets import Targets
from saga_cli.topology import SERVICES, Addresses
from saga_cli.verify.running import verify_all
from shared_events.catalog import CATALOG
from tests.support.servers import fast_paths, private_stack
from tests.support.shop import Load, settled
from tests.support.waiting import until

pytestmark = pytest.mark.long(120)


@pytest.fixture
def system() -> Iterator[Services]:
    """Two instances of each, as a release before the lanes writes; one of two has no fast paths."""
    with private_stack() as (services, _):
        for spec in SERVICES:
            for on in ("all", "none"):
                layout = {f"{spec.prefix}_TOPIC_LAYOUT": "former"}
                services.start(spec.name, fast_paths(spec.name, on) | layout)
        services.await_ready(services.instances)
        seed(services.url)
        yield services


def test_orders_flow_on_while_a_system_moves_to_lanes_and_these_grow(
    system: Services,
) -> None:
    places = Targets(system.addresses.kafka, system.addresses)
    with Load(system.url("order"), cancels=True).running() as load:
        load.await_more(40)
        assert all(use.is_former for use in _filled(places))
        _roll(system, "moving")
        _restart(system.of("payment")[0], "former")  # the way back is open as long as both are read
        until(lambda: _records(places, "payment.forward"), 60, "payments in a lane")
        _restart(system.of("payment")[0], "moving")
        until(lambda: not _left(places), 60, "the topics of before read to their ends")
        _roll(system, "lanes")
        load.await_more(20)
        asyncio.run(_grow(system.addresses.kafka, CATALOG.lanes_of("payment")))
        until(lambda: _stand_in_new_partitions(system.addresses), 60, "events in a new partition")
        load.await_more(40)
    assert settled(system, load.acknowledged).violations == []
    assert all(result.differences == [] for result in asyncio.run(verify_all(places)))
    _assert_some_orders_stand_in_both(system.addresses)


async def _grow(cluster: Cluster, topics: Sequence[str]) -> None:
    """To no multiple: keys move, also to partitions that were there before."""
    async with admin_client(cluster) as admin:
        await admin.create_partitions({topic: NewPartitions(PARTITIONS + 3) for topic in topics})


def _stand_in_new_partitions(addresses: Addresses) -> bool:
    logged = asyncio.run(read(addresses.kafka, CATALOG.lanes_of("payment")))
    return any(entry.partition >= PARTITIONS for entry in logged)


def _roll(system: Services, layout: str) -> None:
    """The first of each two processes, then the other, so that those of a service differ meanwhile."""
    for number in range(2):
        half = [system.of(spec.name)[number] for spec in SERVICES]
        for instance in half:
            _restart(instance, layout)
        system.await_ready(half)


def _restart(instance: Instance, layout: str) -> None:
    instance.process.stop()
    layout_of = {f"{instance.spec.prefix}_TOPIC_LAYOUT": layout}
    instance.process.env = {**instance.process.env, **layout_of}
    instance.process.start()


def _filled(places: Targets) -> list[TopicUse]:
    return [use for use in asyncio.run(used(places)) if use.records]


def _records(places: Targets, topic: str) -> int:
    return sum(use.records for use in _filled(places) if use.topic == topic)


def _left(places: Targets) -> list[str]:
    return [why for use in asyncio.run(used(places)) for why in use.left()]


def _assert_some_orders_stand_in_both(addresses: Addresses) -> None:
    """A service wrote the first events of an order to the one, and the last to the others."""
    by_layout: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
    for entry in asyncio.run(read(addresses.kafka)):
        of = entry.envelope.source, entry.envelope.subject
        by_layout[entry.topic in LANES].add(of)
    assert by_layout[True] & by_layout[False]
