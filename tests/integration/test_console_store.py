"""What the console stores of the log, over a real PostgreSQL and the log of a past release."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import pytest

from chassis import clock
from chassis.errors import StoreLostError
from chassis.events import Envelope
from chassis.kafka import Cluster
from chassis.message import Record
from chassis.postgres import Connection, PostgresDatabase
from console.dropping import drop_settled
from console.measure import AGAIN, measure, slow_pages
from console.model import GroupNote
from console.notes import notes_on, write_note
from console.reader import LogReader, ReadSession
from console.store import ReadBatch, empty, generation, next_offsets, take
from saga_cli.stack import with_console
from saga_cli.topology import CONSOLE, Addresses
from shared_events.catalog import CATALOG
from tests.contract import golden_log

ORDERS: Final = "SELECT * FROM orders ORDER BY id"
WAITS: Final = "SELECT * FROM waits ORDER BY edge, order_id"
EVENTS: Final = "SELECT order_id, service, sequence, id, type, payload FROM events ORDER BY id"
QUIET: Final = "SELECT id FROM orders WHERE quiet_at IS NOT NULL"
OTHERS: Final = "SELECT id FROM orders WHERE quiet_at IS NULL"
MANY: Final = 2_500
LONG_AGO: Final = datetime(2001, 1, 1, tzinfo=UTC)
REFERENCES: Final = "SELECT * FROM order_references ORDER BY reference"
FIRST: Final = golden_log.read(golden_log.names()[0])[0]
PUBLISHED: Final = [
    envelope
    for log in FIRST.published.values()
    for envelope in log
    if CATALOG.entry_of(envelope.event).is_of_a_saga
][:600]


@pytest.fixture(scope="module")
def database(addresses: Addresses) -> PostgresDatabase:
    """As the role that owns the tables."""
    with_console.make_database(addresses)
    return PostgresDatabase.at(addresses.owner_url(CONSOLE))


@pytest.fixture
async def connection(database: PostgresDatabase) -> AsyncIterator[Connection]:
    found = await database.connect()
    await empty(found)
    yield found
    await empty(found)
    await found.close()


def batch_of(envelopes: Sequence[Envelope], end: int = 1) -> ReadBatch:
    events = [
        (Record("order.forward", 0, number, b"", b'{"a": 1}', ()), envelope)
        for number, envelope in enumerate(envelopes)
    ]
    return ReadBatch(events, {("order.forward", 0): end})


async def stored(connection: Connection) -> list[Any]:
    tables = (ORDERS, WAITS, EVENTS, REFERENCES)
    return [[tuple(row) for row in await connection.fetch(query)] for query in tables]


async def taken(connection: Connection, *batches: ReadBatch) -> list[Any]:
    now = await generation(connection)
    for batch in batches:
        await take(connection, batch, now)
    return await stored(connection)


async def test_a_database_is_filled_and_each_page_and_query_timed_over_it(
    database: PostgresDatabase, connection: Connection
) -> None:
    """The short form of `python -m console.measure`: at a million orders it takes minutes."""
    found = await measure(database, MANY)
    assert await connection.fetchval("SELECT count(*) FROM orders") <= MANY
    paths = {name.partition("?")[0] for name in found if name[0] == "/"}
    assert {f"/{name}" for name in ("", "orders", "process", "failures", "services")} <= paths
    assert all(len(times) >= AGAIN and min(times) > 0 for times in found.values())
    assert slow_pages({"/": [1.0, 301.0, 302.0], "/x": [1.0, 2.0, 400.0], "find": [900.0]}) == ["/"]


async def test_how_far_was_read_is_stored_with_what_was_read(connection: Connection) -> None:
    await taken(connection, batch_of(PUBLISHED[:3], 7), batch_of((), 9))
    assert await next_offsets(connection) == {("order.forward", 0): 9}


async def test_a_batch_that_is_taken_twice_changes_nothing(connection: Connection) -> None:
    batch = batch_of(PUBLISHED[:50])
    once = await taken(connection, batch)
    assert await taken(connection, batch) == once
    number = await connection.fetchval("SELECT sum(events) FROM orders")
    assert number == len(batch.events)


async def test_batches_of_any_size_in_any_order_come_to_the_same(connection: Connection) -> None:
    at_once = await taken(connection, batch_of(PUBLISHED))
    await empty(connection)
    mixed, random = list(PUBLISHED), Random(3)  # noqa: S311 - the same in each run
    random.shuffle(mixed)
    parts = [mixed[start : start + 37] for start in range(0, len(mixed), 37)]
    assert await taken(connection, *map(batch_of, parts)) == at_once
    assert len(at_once[0]) > 20


async def test_who_reads_notices_that_all_was_forgotten(connection: Connection) -> None:
    before = await generation(connection)
    await empty(connection)
    with pytest.raises(StoreLostError, match="it reads the log anew"):
        await take(connection, batch_of(PUBLISHED[:3]), before)
    assert await stored(connection) == [[], [], [], []]
    assert await next_offsets(connection) == {}


async def test_notes_on_groups_outlast_a_rebuild(connection: Connection) -> None:
    at = datetime(2026, 11, 30, 2, tzinfo=UTC)
    await write_note(connection, "g1", "PAY-17", "anna", at)
    await write_note(connection, "g1", "PAY-18", "otto", at)
    await write_note(connection, "g2", "none", "anna", at)
    await empty(connection)
    note = GroupNote("PAY-18", "otto", at)
    await write_note(connection, "g2", "", "anna", at)
    assert await notes_on(connection, ["g1", "g2", "g3"]) == {"g1": note}


async def test_orders_that_were_settled_long_ago_are_dropped_and_none_in_flight(
    connection: Connection,
) -> None:
    """All events are of years ago, also those of orders that are on their way."""
    flying = set(list(dict.fromkeys(each.subject for each in PUBLISHED))[:20])
    begun = [e for e in PUBLISHED if e.subject not in flying or e.type == "order.placed.v1"]
    await taken(connection, batch_of(begun))
    quiet = {row[0] for row in await connection.fetch(QUIET)}
    others = {row[0] for row in await connection.fetch(OTHERS)}
    assert len(quiet) > 50
    assert flying <= others
    assert await drop_settled(connection, clock.now() - LONG_AGO) == 0
    assert await drop_settled(connection, timedelta(), 3) == 3
    assert await drop_settled(connection, timedelta()) == len(quiet) - 3
    assert await drop_settled(connection, timedelta()) == 0
    orders, _, events, references = await stored(connection)
    assert {row[0] for row in orders} == others
    assert {row[0] for row in events} == others
    assert {row[1] for row in references} <= others
    assert {row[0] for row in await connection.fetch("SELECT id FROM dropped_orders")} == quiet


async def test_an_event_of_an_order_that_was_dropped_finds_it_where_it_stood(
    connection: Connection,
) -> None:
    await taken(connection, batch_of(PUBLISHED))
    standing = {row["id"]: standing_of(row) for row in await connection.fetch(ORDERS)}
    assert await drop_settled(connection, timedelta(), 1000)
    again = PUBLISHED[-200:]
    await taken(connection, batch_of(again))
    rows = {row["id"]: row for row in await connection.fetch(ORDERS)}
    returned = {envelope.subject for envelope in again} & rows.keys()
    assert returned
    assert {id_: standing_of(rows[id_]) for id_ in returned} == {
        id_: standing[id_] for id_ in returned
    }
    kept = await connection.fetch("SELECT id FROM dropped_orders WHERE id = ANY($1)", [*returned])
    assert kept == []


def standing_of(row: Any) -> tuple[Any, ...]:
    names = ("state", "step", "edges", "began_at", "newest_at", "settled_at", "quiet_at", "seen")
    return tuple(row[name] for name in names)


async def test_an_event_that_the_database_refuses_holds_up_no_other(connection: Connection) -> None:
    reader = LogReader(Cluster("127.0.0.1:1"), PostgresDatabase.at(""))
    session = ReadSession(reader, None, connection, await generation(connection))
    batch = batch_of(PUBLISHED[:9], 9)
    batch.events[4][1].causation_type = "\ud800"
    try:
        await session.commit(batch)
    finally:
        batch.events[4][1].causation_type = ""
    assert len((await stored(connection))[2]) == 8
    assert await next_offsets(connection) == {("order.forward", 0): 9}
    state = reader.status.now()
    assert (state.unread, state.last_unread) == (1, "order.forward/0/4: DataError")


async def test_the_consoles_own_role_may_not_forget(
    addresses: Addresses, database: PostgresDatabase
) -> None:
    own = await PostgresDatabase.at(addresses.database_url(CONSOLE)).connect()
    try:
        with pytest.raises(Exception, match="permission denied"):
            await empty(own)
        await take(own, batch_of(PUBLISHED[:3]), await generation(own))
    finally:
        await own.close()
