"""What was published stands in a partition a day, on real PostgreSQL, and goes with it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from chassis import clock, keeping
from chassis.message import OutboxRow
from chassis.postgres import PostgresStore
from saga_cli.topology import Addresses
from tests.integration.chassis_fixtures import SHIPPING, on_postgres

FIRST = datetime(2031, 5, 4, 23, 30, tzinfo=UTC)
INSERT = """
INSERT INTO published (id, topic, key, value, headers, published_at) VALUES (1, 't', $1, '', '[]', $2)
"""
WHERE = "SELECT tableoid::regclass::text FROM published WHERE key = $1"


@pytest.fixture
async def store(
    addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PostgresStore]:
    kind = on_postgres(addresses, SHIPPING)
    opened: PostgresStore = await kind.connect(kind.service)
    monkeypatch.setattr(clock, "now", lambda: FIRST)
    yield opened
    async with opened.reading() as connection:
        for (name,) in await connection.fetch(keeping.PARTITIONS):
            await connection.execute(f"DROP TABLE {name}")
        await connection.execute("DELETE FROM published")
    await opened.close()


async def put(store: PostgresStore, key: str, at: datetime) -> str:
    async with store.reading() as connection:
        await connection.execute(INSERT, key, at)
    return await place_of(store, key)


async def place_of(store: PostgresStore, key: str) -> str:
    async with store.reading() as connection:
        return str(await connection.fetchval(WHERE, key))


async def test_a_day_without_a_partition_is_caught_and_moved_into_its_own(
    store: PostgresStore,
) -> None:
    assert await put(store, "early", FIRST) == "published_default"
    await store.tend()
    assert await place_of(store, "early") == "published_20310504"
    assert await put(store, "tomorrow", FIRST + timedelta(hours=1)) == "published_20310505"
    assert await put(store, "later", FIRST + timedelta(days=2)) == "published_default"
    await store.tend()
    assert [row.key async for rows in store.kept() for row in rows][-3:] == [
        "early",
        "tomorrow",
        "later",
    ]


async def test_what_was_kept_long_enough_goes_with_its_day(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(store, "lost", FIRST - timedelta(days=30))
    await store.tend()
    await put(store, "old", FIRST)
    monkeypatch.setattr(clock, "now", lambda: FIRST + timedelta(days=7))
    await store.tend()
    assert [await place_of(store, key) for key in ("old", "lost")] == ["published_20310504", "None"]
    monkeypatch.setattr(clock, "now", lambda: FIRST + timedelta(days=8))
    await store.tend()
    assert await place_of(store, "old") == "None"


async def test_instances_tend_side_by_side_while_relays_go_on(store: PostgresStore) -> None:
    """Whoever is second does nothing, and no row waits for a partition."""
    row = OutboxRow("t", "side-by-side", b"", [])
    async with store.transaction() as connection:
        await store._publish(connection, [row] * 50)
    while not await store.lead(0):
        await asyncio.sleep(0.05)

    async def relay() -> None:
        while rows := [id_ for id_, r in await store.pending(0, 100_000) if r == row]:
            await store.acknowledge(0, rows[:5])

    await asyncio.gather(relay(), *(store.tend() for _ in range(4)))
    kept = [r.key async for rows in store.kept() for r in rows if r.topic == "t"]
    assert kept == ["side-by-side"] * 50
