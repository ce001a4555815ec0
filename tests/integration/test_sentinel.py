"""A primary of Redis dies, its sentinel promotes the replica, and loyalty's store goes on there."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from chassis.errors import ChassisError
from chassis.kafka import Cluster
from chassis.message import Decided, Message
from chassis.redis import RedisDatabase, rebuild, rollback
from chassis.redis.inspection import RedisInspection
from chassis.redis.store import RedisStore
from loyalty_svc.service import SERVICE
from loyalty_svc.store import LAYOUT
from saga_cli.stack import servers
from saga_cli.stack.watched_redis import WatchedRedis
from shared_events.shipping import ShipmentCreated
from tests.simulation.loyalty import PublishedLog
from tests.support.opened import Opened
from tests.support.records import a_message, an_order
from tests.support.waiting import until_async

pytestmark = pytest.mark.long(20)
SETTING: Final = "LOYALTY"


@pytest.fixture
def pair() -> Iterator[WatchedRedis]:
    with servers.private_folder() as folder, ExitStack() as held:
        yield WatchedRedis.started(held, folder)


def a_shipment(offset: int) -> Message:
    return a_message(ShipmentCreated(order=an_order(), shipment_id="S"), offset)


async def test_a_store_goes_on_with_the_replica_that_was_promoted(
    pair: WatchedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (rebuild, rollback):
        monkeypatch.setattr(module, "reading", PublishedLog().reading)
    database = RedisDatabase.given(pair.variables(SETTING, 1), SETTING)
    assert database is not None
    store = await RedisStore.connect(SERVICE, LAYOUT, database, Cluster("none:1"))
    await store.prepare(asyncio.Event())
    opened = Opened.of(SERVICE, store, RedisInspection(store))
    first, second = a_shipment(0), a_shipment(1)
    (done,) = await opened.handle([first])
    assert isinstance(done, Decided)
    await store.call(store.redis.wait(1, 30_000))  # the replica has it: it lags else
    pair.primary.kill()

    async def is_done() -> bool:
        try:
            if store.lost:
                await store.prepare(asyncio.Event())
            (outcome,) = await opened.handle([second])
        except ChassisError:
            return False
        return isinstance(outcome, Decided)

    await until_async(is_done, 60, "a message that is decided on the replica")
    for message in (first, second):
        found = await opened.inspection.whereabouts(message.key)
        assert found.state == "Awarded"
    await opened.close()
