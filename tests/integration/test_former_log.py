"""A log of which a part stands in the topic of before the lanes: all tools read both as one."""

import asyncio
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter

import httpx
import pytest
from redis import Redis

from chassis.kafka import KEEP_FOR_EVER, ensure_topics
from guarantees.declared import configured
from saga_cli.log.reader import records
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME, Addresses
from shared_events.catalog import CATALOG
from tests.support.databases import a_new_database
from tests.support.rewriting import as_row, number_of, rewritten
from tests.support.saga import on_servers
from tests.support.servers import log_of, running_shop
from tests.support.shop import place_many, settled
from tests.support.waiting import until

pytestmark = pytest.mark.long(60)

FORMER_PARTITIONS = 12
"""More than a lane has."""
PARTLY_BEFORE = ("inventory", "payment", "loyalty")


@pytest.fixture(scope="module")
def system() -> Iterator[Services]:
    """The first half of each order's events stands where earlier releases published."""
    with running_shop() as services:
        orders = asyncio.run(place_many([services.url("order")], 60))
        assert settled(services, orders).violations == []
        for order_id in orders[::5]:
            httpx.post(f"{services.url('order')}/orders/{order_id}/cancel").raise_for_status()
        assert settled(services, orders).violations == []
        for name in PARTLY_BEFORE:
            asyncio.run(put_half_before(services.addresses, name))
        yield services


async def put_half_before(addresses: Addresses, name: str) -> None:
    published = await records(addresses.kafka, CATALOG.lanes_of(name))
    (before,) = CATALOG.log_of(name)[len(CATALOG.lanes_of(name)) :]
    rows = []
    for _, events in groupby(sorted(published, key=attrgetter("key")), attrgetter("key")):
        story = sorted(events, key=number_of)
        half = (number_of(story[-1]) + 1) / 2
        rows += [as_row(r, before if number_of(r) <= half else r.topic) for r in story]
    await ensure_topics(addresses.kafka, {before: (FORMER_PARTITIONS, KEEP_FOR_EVER)})
    await rewritten(addresses, configured(name), rows)
    moved = await records(addresses.kafka, [before])
    assert len(moved) > 20


@pytest.mark.parametrize("name", PARTLY_BEFORE)
def test_what_is_live_is_what_both_add_up_to(system: Services, name: str) -> None:
    verified = on_servers(system, "verify", name, "--decide")
    assert verified.code == 0, verified


@pytest.mark.parametrize("name", [name for name in PARTLY_BEFORE if BY_NAME[name].has_database])
def test_a_database_is_rebuilt_from_both(system: Services, name: str) -> None:
    url = a_new_database(system, name, "from_both")
    done = on_servers(system, "replay", name, "--into", url, "--copy")
    assert done.code == 0, done
    verified = on_servers(system, "verify", name, **{f"{BY_NAME[name].prefix}_DATABASE_URL": url})
    assert verified.code == 0, verified


def test_a_redis_is_rebuilt_from_both_by_the_tool(system: Services) -> None:
    url = f"{system.addresses.redis_url}/9"
    done = on_servers(system, "replay", "loyalty", "--into", url, "--copy")
    assert done.code == 0, done
    verified = on_servers(system, "verify", "loyalty", LOYALTY_REDIS_URL=url)
    assert verified.code == 0, verified
    with Redis.from_url(url) as redis:
        redis.flushdb()


def test_a_redis_is_rebuilt_from_both_by_its_own_service(system: Services) -> None:
    (loyalty,) = system.of("loyalty")
    with Redis.from_url(f"{system.addresses.redis_url}/0") as redis:
        redis.flushdb()
    until(lambda: "rebuild_finished" in log_of(loyalty.process), 90, "a rebuilt Redis")
    system.await_ready([loyalty])
    verified = on_servers(system, "verify", "loyalty")
    assert verified.code == 0, verified
