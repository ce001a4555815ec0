"""What was published, and what was heard, is kept for a time on real PostgreSQL, and then goes."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from chassis import clock
from chassis.errors import ClockInDoubtError
from chassis.message import Decided, Message, OutboxRow
from chassis.postgres import retention as partitions
from loyalty_svc.store import KEYS
from saga_cli.clients import database
from saga_cli.topology import BY_NAME, Addresses
from tests.integration.chassis_fixtures import SHIPPING, Kind, on_postgres, on_redis
from tests.support.opened import Opened
from tests.support.records import OFFSETS, an_order
from tests.support.waiting import until_async

INSERT = """
INSERT INTO published (id, topic, key, value, headers, published_at) VALUES (1, 't', $1, '', '[]', $2)
"""
REMEMBER = """
INSERT INTO inbox (message_id, seen_at)
SELECT gen_random_uuid(), now() - $1::interval FROM generate_series(1, $2)
"""
ANSWER = """
INSERT INTO idempotency_keys (scope, key, fingerprint, response, created_at)
SELECT 'keeping', gen_random_uuid()::text, '', '', now() - $1::interval FROM generate_series(1, $2)
"""
OF_AN_ORDER = """
SELECT (SELECT row(version, status, detail)::text FROM shipments WHERE order_id = $1),
       (SELECT array_agg(id ORDER BY id) FROM outbox WHERE key = $1),
       (SELECT array_agg(row(id, due_at)::text ORDER BY id) FROM effects WHERE key = $1)
"""
WHERE = "SELECT tableoid::regclass::text FROM published WHERE key = $1"


TODAY = "SELECT (now() AT TIME ZONE 'UTC')::date"
MARK = "UPDATE clock_marks SET seen_at = now() + $1::interval, doubted_at = now() + $2::interval"


async def without_partitions(addresses: Addresses) -> None:
    async with database(addresses.owner_url(BY_NAME["shipping"])) as connection:
        for (name,) in await connection.fetch(partitions.PARTITIONS):
            await connection.execute(f"DROP TABLE {name}")
        await connection.execute("DELETE FROM published")
        await connection.execute("DELETE FROM clock_marks")


@pytest.fixture
async def store(addresses: Addresses) -> AsyncIterator[Opened]:
    kind = on_postgres(addresses, SHIPPING)
    opened = await kind.connect(kind.service)
    await without_partitions(addresses)
    yield opened
    await without_partitions(addresses)
    await opened.close()


async def today(store: Opened) -> date:
    """The database's."""
    async with store.reading() as connection:
        found: date = await connection.fetchval(TODAY)
    return found


async def put(store: Opened, key: str, days: int = 0) -> str:
    """Published so many days from now."""
    noon = datetime.combine(await today(store), time(12), UTC)
    async with store.reading() as connection:
        await connection.execute(INSERT, key, noon + timedelta(days=days))
    return await place_of(store, key)


async def place_of(store: Opened, key: str) -> str:
    async with store.reading() as connection:
        return str(await connection.fetchval(WHERE, key))


async def a_partition(store: Opened, days: int) -> str:
    day = await today(store) + timedelta(days=days)
    async with store.transaction() as connection:
        await connection.execute(partitions.MAKE, day)
    return partitions.name_of(day)


async def test_a_day_without_a_partition_is_caught_and_moved_into_its_own(
    store: Opened,
) -> None:
    day = await today(store)
    assert await put(store, "early") == "published_default"
    await store.rotate_partitions()
    assert await place_of(store, "early") == partitions.name_of(day)
    assert await put(store, "tomorrow", 1) == partitions.name_of(day + timedelta(days=1))
    assert await put(store, "later", 2) == "published_default"
    await store.rotate_partitions()
    kept = [row.key async for rows in store.kept() for row in rows if row.topic == "t"]
    assert kept == ["early", "tomorrow", "later"]


async def test_what_was_kept_long_enough_goes_with_its_day(store: Opened) -> None:
    for days in (-9, -8, -7, -6):
        name = await a_partition(store, days)
        assert await put(store, f"{-days} days", days) == name
    await put(store, "caught", -30)
    await store.rotate_partitions()
    kept = [row.key async for rows in store.kept() for row in rows if row.topic == "t"]
    assert kept == ["7 days", "6 days"]
    async with store.reading() as connection:
        names = {row[0] for row in await connection.fetch(partitions.PARTITIONS)}
    day = await today(store)
    assert names == {partitions.name_of(day + timedelta(days=n)) for n in (-7, -6, 0, 1)}


@pytest.mark.parametrize("off_by", [timedelta(days=40), timedelta(days=-40), timedelta(minutes=6)])
async def test_a_process_whose_clock_is_wrong_deletes_nothing(
    store: Opened, monkeypatch: pytest.MonkeyPatch, off_by: timedelta
) -> None:
    """Neither what it would take for old, nor what is old."""
    await put(store, "old", -30)
    await put(store, "new")
    await remember(store, 31, 3)
    before, now = await remembered(store), clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + off_by)
    for delete in (store.rotate_partitions, store.prune_inbox):
        with pytest.raises(ClockInDoubtError, match="this process's"):
            await delete()
    assert await place_of(store, "old") != "None"
    assert await place_of(store, "new") != "None"
    assert await remembered(store) == before


@pytest.mark.parametrize("seen", [timedelta(days=-40), timedelta(days=40)], ids=["on", "back"])
async def test_after_a_jump_of_the_databases_clock_nothing_is_deleted_for_a_day(
    store: Opened, seen: timedelta
) -> None:
    await store.rotate_partitions()
    await put(store, "old", -30)
    await remember(store, 31, 3)
    async with store.reading() as connection:
        await connection.execute(MARK, seen, None)
    for delete in (store.rotate_partitions, store.prune_inbox, store.rotate_partitions):
        with pytest.raises(ClockInDoubtError, match="clock jumped"):
            await delete()
    assert await place_of(store, "old") == "published_default"
    async with store.reading() as connection:
        await connection.execute(MARK, timedelta(0), timedelta(hours=-25))
    await store.rotate_partitions()
    assert await place_of(store, "old") == "None"
    assert sum(await all_forgotten(store)) >= 3


async def test_redis_lets_go_by_its_own_clock_and_not_at_all_by_one_in_doubt(
    addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, now = on_redis(addresses), clock.now
    opened = await kind.connect(kind.service)
    await opened.redis.delete(KEYS.published, KEYS.clock)
    row: dict[Any, Any] = {"t": "t", "k": "k", "v": "", "h": "[]"}
    hours = [int((now() - timedelta(hours=h)).timestamp() * 1000) for h in (8 * 24, 6 * 24)]
    for at in hours:
        await opened.redis.xadd(KEYS.published, row, id=f"{at}-0")
    for off_by in (timedelta(days=40), timedelta(days=-40)):
        with monkeypatch.context() as turned:
            turned.setattr(clock, "now", lambda off_by=off_by: now() + off_by)
            with pytest.raises(ClockInDoubtError, match="this process's"):
                await opened.rotate_partitions()
    await opened.redis.hset(KEYS.clock, "seen", str(hours[0]))
    for _ in range(2):
        with pytest.raises(ClockInDoubtError, match="clock jumped"):
            await opened.rotate_partitions()
    assert await opened.redis.xlen(KEYS.published) == 2
    await opened.redis.hset(KEYS.clock, "jumped", str(hours[1]))
    await opened.rotate_partitions()
    assert await opened.redis.xlen(KEYS.published) == 1
    await opened.redis.delete(KEYS.published, KEYS.clock)
    await opened.close()


async def test_instances_tend_side_by_side_while_relays_go_on(store: Opened) -> None:
    """Whoever is second does nothing, and no row waits for a partition."""
    row = OutboxRow("t", "side-by-side", b"", [])
    await store.put([row] * 50)
    await until_async(store.lead, what="the lead")

    async def relay() -> None:
        while rows := [id_ for id_, r in await store.pending(100_000) if r == row]:
            await store.acknowledge(rows[:5])

    await asyncio.gather(relay(), *(store.rotate_partitions() for _ in range(4)))
    kept = [r.key async for rows in store.kept() for r in rows if r.topic == "t"]
    assert kept == ["side-by-side"] * 50


@pytest.fixture
def kind(addresses: Addresses) -> Kind:
    return on_postgres(addresses, SHIPPING)


@pytest.fixture
async def remembering(kind: Kind) -> AsyncIterator[Opened]:
    opened = await kind.connect(kind.service)
    async with opened.reading() as connection:
        await connection.execute(
            "DELETE FROM inbox; DELETE FROM idempotency_keys; DELETE FROM clock_marks"
        )
    yield opened
    await opened.close()


async def remember(store: Opened, days: float, rows: int, query: str = REMEMBER) -> None:
    async with store.reading() as connection:
        await connection.execute(query, timedelta(days=days), rows)


async def remembered(store: Opened) -> tuple[int, int]:
    query = "SELECT (SELECT count(*) FROM inbox), (SELECT count(*) FROM idempotency_keys)"
    async with store.reading() as connection:
        return tuple(await connection.fetchrow(query))


async def all_forgotten(store: Opened) -> list[int]:
    chunks = []
    while some := await store.prune_inbox():
        chunks.append(some)
    return chunks


async def test_what_was_heard_long_ago_is_forgotten_and_the_rest_is_not(
    remembering: Opened,
) -> None:
    for query in (REMEMBER, ANSWER):
        for days, rows in ((400, 2), (30.01, 3), (29.99, 5), (0, 7)):
            await remember(remembering, days, rows, query)
    assert await all_forgotten(remembering) == [10]
    assert await remembered(remembering) == (12, 12)
    remembering.store.inbox_keep_days = 1
    assert await all_forgotten(remembering) == [10]
    assert await remembered(remembering) == (7, 7)


async def test_two_instances_forget_more_than_a_chunk_while_messages_come_in(
    kind: Kind, remembering: Opened
) -> None:
    await remember(remembering, 31, 2 * partitions.PRUNED_AT_ONCE + 5000)
    other = await kind.connect(kind.service)
    consumed = [kind.first(an_order()) for _ in range(50)]

    async def hear() -> None:
        for message in consumed:
            assert isinstance((await remembering.handle([message]))[0], Decided)

    mine, others, _ = await asyncio.gather(all_forgotten(remembering), all_forgotten(other), hear())
    await other.close()
    chunks = sorted(mine + others)
    assert chunks == [5000, partitions.PRUNED_AT_ONCE, partitions.PRUNED_AT_ONCE]
    assert await remembered(remembering) == (len(consumed), 0)


async def test_old_rows_are_found_by_an_index_and_no_more_is_read(
    remembering: Opened,
) -> None:
    for day in range(10):
        await remember(remembering, 40 - day, 2000)
    query = partitions.PRUNE.format(table="inbox", at="seen_at")
    async with remembering.transaction() as connection:
        await connection.execute(f"PREPARE forgetting (timestamptz, int) AS {query}")
        oldest = (clock.now() - timedelta(days=38.5)).isoformat()
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE forgetting ('{oldest}', 100000)"
        (plan,) = await connection.fetchrow(explain)
        await connection.execute("DEALLOCATE forgetting")
    nodes = nodes_of(json.loads(plan)[0]["Plan"])
    assert "Seq Scan" not in [node["Node Type"] for node in nodes]
    found = [(node["Index Name"], node["Actual Rows"]) for node in nodes if "Index Name" in node]
    assert found == [("inbox_seen_at", 4000)], "of one kind of index scan or another"


def nodes_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", ()) for node in nodes_of(part))]


async def test_a_message_that_comes_again_after_it_was_forgotten_changes_nothing(
    kind: Kind, remembering: Opened
) -> None:
    order = an_order()
    message = kind.first(order)
    assert isinstance((await remembering.handle([message]))[0], Decided)
    async with remembering.reading() as connection:
        before = await connection.fetchrow(OF_AN_ORDER, order.order_id)
    other = await kind.connect(kind.service)
    for store in (remembering, other):
        async with store.reading() as connection:
            await connection.execute("UPDATE inbox SET seen_at = now() - interval '31 days'")
        assert await all_forgotten(store) == [1]
        (again,) = await store.handle([later(message)])
        assert isinstance(again, Decided)
        assert again.events == ()
        async with store.reading() as connection:
            assert await connection.fetchrow(OF_AN_ORDER, order.order_id) == before
    await other.close()


def later(message: Message) -> Message:
    assert message.record is not None
    return replace(message, record=replace(message.record, offset=next(OFFSETS)))
