"""A real Redis that has no memory left, and must not evict: it refuses whole batches (rule R11)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from chassis.dead_letters import unreadable
from chassis.errors import TransientError
from chassis.kafka import Cluster
from chassis.message import Decided, Message
from chassis.redis import RedisDatabase, rebuild, rollback
from chassis.redis.inspection import RedisInspection
from chassis.redis.store import RedisStore
from loyalty_svc.service import SERVICE
from loyalty_svc.store import KEYS, LAYOUT
from saga_cli.stack import ports, servers
from shared_events.shipping import ShipmentCreated
from tests.simulation.loyalty import PublishedLog
from tests.support.opened import Opened
from tests.support.records import a_message, an_order
from tests.support.waiting import until

BATCH: Final = 50
ROOM_BYTES: Final = 300_000


@pytest.fixture
def url() -> Iterator[str]:
    """Of a Redis of this test's own."""
    with servers.private_folder() as folder:
        port = ports.hold()
        process = servers.prepare_redis(folder, port.number)
        process.start()
        try:
            until(lambda: b"Ready to accept" in process.log.read_bytes(), 20, "no Redis")
            yield f"redis://127.0.0.1:{port.number}/0"
        finally:
            process.kill()
            port.release()


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(url) as opened:
        yield opened


@pytest.fixture
async def store(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    for module in (rebuild, rollback):
        monkeypatch.setattr(module, "reading", PublishedLog().reading)
    store = await RedisStore.connect(SERVICE, LAYOUT, RedisDatabase.at(url), Cluster("none:1"))
    await store.prepare(asyncio.Event())
    opened = Opened.of(SERVICE, store, RedisInspection(store))
    yield opened
    await opened.close()


def _batches() -> Iterator[list[Message]]:
    offset = 0
    while True:
        batch = []
        for _ in range(BATCH):
            event = ShipmentCreated(order=an_order(customer_id=f"c-{offset % 7}"), shipment_id="S")
            batch.append(a_message(event, offset))
            offset += 1
        yield batch


async def _done(redis: Redis) -> int:
    """How many messages: each has its order, its mark, its row and its points, or none of them."""
    orders = [key async for key in redis.scan_iter("loyalty:order:*", count=1000)]
    for key in orders:
        fields: dict[Any, Any] = await redis.hgetall(key)
        assert [fields[b"version"], fields[b"status"]] == [b"1", b"Awarded"]
        assert sum(field.startswith(b"m:") for field in fields) == 1
    customers = [key async for key in redis.scan_iter("loyalty:customer:*", count=1000)]
    points = [int(await redis.hget(key, "points") or 0) for key in customers]
    assert sum(points) == len(orders) * 10
    assert await redis.xlen(KEYS.outbox) == len(orders)
    return len(orders)


async def _until_full(store: Opened, batches: Iterator[list[Message]]) -> tuple[int, list[Message]]:
    """How many batches went well, and the one that did not."""
    for number, batch in enumerate(batches):
        try:
            await store.handle(batch)
        except TransientError as error:
            if "OutOfMemory" not in str(error):
                raise
            return number, batch
    raise AssertionError("there are no more batches")


async def test_what_finds_no_memory_is_left_undone_and_done_when_there_is_some_again(
    store: Opened, redis: Redis
) -> None:
    used = (await redis.info("memory"))["used_memory"]
    await redis.config_set("maxmemory", used + ROOM_BYTES)
    batches = _batches()
    taken, batch = await _until_full(store, batches)
    done = await _done(redis)
    assert 0 < done == taken * BATCH
    await redis.config_set("maxmemory", used)
    with pytest.raises(TransientError, match="OutOfMemory"):
        await store.handle(batch)
    assert await _done(redis) == done

    await redis.config_set("maxmemory", 0)
    outcomes = await store.handle(batch)
    assert all(isinstance(outcome, Decided) for outcome in outcomes)
    assert await _done(redis) == (taken + 1) * BATCH


async def test_a_person_can_make_room_in_a_full_redis(store: Opened, redis: Redis) -> None:
    """What removes more than it adds is done without memory: discards, and rows that Kafka refused."""
    bad = next(_batches())[0].record
    assert bad is not None
    letters = [replace(bad, offset=n, value=b"{" * 1000) for n in range(2)]
    await store.handle([unreadable(record, "malformed") for record in letters])
    assert await store.lead()
    (first, _), (second, _) = await store.pending(10)
    await store.refuse({first: "too large", second: "too large"})
    await redis.config_set("maxmemory", (await redis.info("memory"))["used_memory"] // 2)
    with pytest.raises(TransientError, match="OutOfMemory"):
        await store.handle(next(_batches()))
    operations = store.inspection
    assert await operations.release(first, "ann", "the topic takes it now")
    assert await operations.drop(second, "ann", "never")
    for _ in letters:
        assert await operations.discard(bad.subject, "ann", "no event")
    assert await operations.parked_keys() == []
    assert await operations.refused(10) == []
    assert await redis.xlen(KEYS.outbox) == 1
    actions = [action.action for _, action in await operations.actions(bad.subject)]
    assert actions == ["release", "drop", "discard", "discard"]
