"""What the console stores of the log, over a real PostgreSQL and the log of a past release."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import pytest

from chassis.errors import StoreLostError
from chassis.events import Envelope
from chassis.kafka import Cluster
from chassis.message import Record
from chassis.postgres import Connection, PostgresDatabase
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
