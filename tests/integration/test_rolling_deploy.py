"""Old code on the new schema: what release 0.1.0 says to its database, on today's tables.

Each test is one transaction that is rolled back. What the old code leaves behind, the new one reads.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import asyncpg
import pytest
from pydantic_core import to_json

from chassis.message import ATTENTION_TRIES, REFUSED, PendingEffect
from chassis.postgres import PostgresDatabase, migrations, sql
from chassis.process.runtime import migrations_of
from guarantees.declared import tables_of
from guarantees.services import WITH_DATABASE
from saga_cli.topology import BY_NAME, Addresses
from tests.contract.stored import read
from tests.integration import previous_release as old
from tests.support.records import TRACE

KEY = "old-1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON = timedelta(seconds=5)
each_database = pytest.mark.parametrize("service", WITH_DATABASE)


@pytest.fixture
async def db(addresses: Addresses, service: str) -> AsyncIterator[Any]:
    """The service's database as today's migrations leave it, in a transaction of the old code."""
    url = addresses.database_url(BY_NAME[service])
    module = import_module(f"{service}_svc")
    await migrations.migrate(migrations_of(module.__file__ or ""), PostgresDatabase.at(url))
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    for table in ("inbox", "outbox", "effects", "parked"):
        await connection.execute(f"DELETE FROM {table}")  # noqa: S608 - other tests' rows, rolled back
    yield connection
    await transaction.rollback()
    await connection.close()


@each_database
async def test_the_inbox_tells_new_from_old(db: Any, service: str) -> None:
    ids = ["6f1d1c1e-7a52-4d0f-9f0b-5a6a3f3d2c11", "6f1d1c1e-7a52-4d0f-9f0b-5a6a3f3d2c12"]
    entered, parked = await db.fetchrow(old.ENTER, ids, [KEY])
    assert ([str(id_) for id_ in entered], parked) == (ids, None)
    assert (await db.fetchrow(old.ENTER, ids, [KEY]))[0] is None
    await db.execute(old.FORGET, ids[:1])
    assert [str(id_) for id_ in (await db.fetchrow(old.ENTER, ids, [KEY]))[0]] == ids[:1]


@each_database
async def test_states_are_written_and_read_by_both(db: Any, service: str) -> None:
    table, samples = WITH_DATABASE[service].table, read(service)
    (before, was), (after, becomes) = list(samples.items())[:2]
    more: list[list[str]] = [["alice"]] if service == "order" else []
    insert = old.INSERT_ORDER if service == "order" else old.INSERT_STATE.format(table=table)
    update = old.UPDATE_ORDER if service == "order" else old.UPDATE_STATE.format(table=table)
    tag = await db.execute(insert, [KEY], [1], [before], [_json(was)], *more)
    assert tag == "INSERT 0 1"
    tag = await db.execute(update, [KEY], [2], [after], [_json(becomes)], *more, [1])
    assert tag == "UPDATE 1"
    (row,) = await db.fetch(old.SELECT_STATE.format(table=table), [KEY])
    assert (row["order_id"], row["version"], row["status"]) == (KEY, 2, after)
    loaded = (await tables_of(service)[0].load(db, [KEY]))[KEY]
    assert (type(loaded.state).__name__, loaded.version) == (after, 2)


@each_database
async def test_the_outbox_is_filled_relayed_and_measured(db: Any, service: str) -> None:
    await db.execute(old.WRITE_OUTBOX, [0, 0], ["t", "t"], [KEY, KEY], [b"1", b"2"], [b"", b""])
    rows = await db.fetch(old.PENDING, 0, 10)
    assert [row["value"] for row in rows] == [b"1", b"2"]
    waiting = await db.fetchrow(old.BACKLOG)
    assert (waiting[0], waiting[2], waiting[3]) == (2, 0, 0)
    await db.execute(old.ACKNOWLEDGE, [row["id"] for row in rows])
    assert await db.fetch(old.PENDING, 0, 10) == []


@each_database
async def test_effects_are_owed_leased_postponed_and_finished(db: Any, service: str) -> None:
    effect = [f"{KEY}:capture:1"], [KEY], ["Capture"], [b"{}"], [TRACE]
    await db.execute(old.OWE_EFFECTS, *effect)
    (leased,) = await db.fetch(old.LEASE_EFFECTS, 10, timedelta(0))
    assert tuple(leased) == (f"{KEY}:capture:1", KEY, "Capture", b"{}", TRACE, 1)
    await db.execute(old.POSTPONE, effect[0][0], timedelta(0), "TimeoutError()")
    (row,) = await db.fetch(sql.LEASE_EFFECTS, ["Capture"], 10, SOON, "")
    now_leased = PendingEffect(*row)
    assert (now_leased.tries, now_leased.last_error) == (2, "TimeoutError()")
    assert now_leased.owed_since is not None
    await db.execute(old.FINISH_EFFECTS, effect[0])
    assert await db.fetch(sql.EFFECTS_OF, KEY) == []


@each_database
async def test_the_attempt_of_an_effect_that_the_release_before_has_stored_is_in_its_id(
    db: Any, service: str
) -> None:
    ids = [f"{KEY}:refund:{attempt}" for attempt in (1, 12)]
    await db.execute(old.OWE_EFFECTS, ids, [KEY] * 2, ["Refund"] * 2, [b"{}"] * 2, [TRACE] * 2)
    kept = [PendingEffect(*row) for row in await db.fetch(sql.EFFECTS_OF, KEY)]
    assert [(e.attempt, e.needs_attention) for e in kept] == [(1, False), (12, True)]
    backlog = await db.fetch(sql.EFFECTS_BACKLOG, ["Refund"], ATTENTION_TRIES, REFUSED)
    assert {tuple(row) for row in backlog} == {
        ("Refund", "first_try", 1),
        ("Refund", "needs_attention", 1),
    }
    await db.execute("UPDATE effects SET attempt = 2")
    kept = [PendingEffect(*row) for row in await db.fetch(sql.EFFECTS_OF, KEY)]
    assert [e.attempt for e in kept] == [2, 2], "what this release has stored is read as it is"


@each_database
async def test_messages_are_parked_and_redriven(db: Any, service: str) -> None:
    place = ("order.events", 0, 7, KEY.encode(), b"{}", b"[]")
    id_ = await db.fetchval(old.PARK, KEY, *place, "a bug in the rules")
    assert await db.fetchval(old.PARK, KEY, *place, "a bug in the rules") is None
    assert [row[0] for row in await db.fetch(old.PARKED_KEYS)] == [KEY]
    assert tuple(await db.fetchrow(old.FIRST_PARKED, KEY)) == (id_, *place)
    (letter,) = await db.fetch(sql.LETTERS, KEY)
    assert (letter["reason"], letter["attempts"]) == ("a bug in the rules", 1)
    assert await db.execute(old.UNPARK, id_) == "DELETE 1"


@each_database
async def test_answers_are_kept_under_their_keys(db: Any, service: str) -> None:
    row = (["POST /checkout"], [KEY], [b"print"], [b"{}"])
    assert await db.execute(old.ANSWER, *row) == "INSERT 0 1"
    assert await db.execute(old.ANSWER, *row) == "INSERT 0 0"
    for statement in (old.ANSWERED, sql.ANSWERED):
        (found,) = await db.fetch(statement, *row[:2])
        assert tuple(found) == ("POST /checkout", KEY, b"print", b"{}")


@pytest.mark.parametrize("service", ["order"])
async def test_orders_prices_and_timelines(db: Any, service: str) -> None:
    order = read("order")["Pending"]
    await db.execute(old.INSERT_ORDER, [KEY], [1], ["Pending"], [_json(order)], ["zoe"])
    (row,) = await db.fetch(old.ORDERS_PAGE, "z", "zoe", 10)
    assert row["status"] == "Pending"
    await db.execute(old.INSERT_TIMELINE, [KEY], [NOW], ["PlaceOrder"], ["order.placed.v1"])
    (row,) = await db.fetch(old.TIMELINE, KEY)
    assert tuple(row) == (NOW, "PlaceOrder", "order.placed.v1")
    await db.execute(old.UPSERT_PRODUCTS, ["OLD"], ["A cup"], [1500], ["EUR"], [1])
    (product,) = await db.fetch(old.SELECT_PRODUCTS, ["OLD"])
    assert tuple(product) == ("OLD", "A cup", 1500, "EUR", 1)


@pytest.mark.parametrize("service", ["inventory"])
async def test_stock_levels(db: Any, service: str) -> None:
    for level in ((7, 2, 1, 1), (5, 3, 2, 2)):
        await db.execute(old.UPSERT_STOCK, ["OLD"], *([number] for number in level))
        (row,) = await db.fetch(old.SELECT_STOCK, ["OLD"])
        assert tuple(row) == ("OLD", *level)
        left = await db.fetchval("UPDATE stock SET shipped = shipped + 1 RETURNING shipped")
    assert left == 2, "the release before leaves alone what it does not know"


@pytest.mark.parametrize("service", ["shipping"])
async def test_delivery_details(db: Any, service: str) -> None:
    for street in ("First Street 1", "Second Street 2"):
        await db.execute(old.UPSERT_DETAILS, KEY, "Zoë", street, "Łódź", "zoe@example.com")
    assert await db.execute(old.ERASE_DETAILS, KEY) == "DELETE 1"


def _json(detail: Any) -> str:
    return to_json(detail).decode()
