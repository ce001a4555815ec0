"""The console's reader and its queries, over real servers: what it shows is what the services have."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from chassis.postgres import PostgresDatabase
from console import flow
from console.model import EVERYTHING, Filter, FoundKind, OrderRow, ReaderState
from console.queries import Queries
from console.rebuilding import rebuild
from console.settings import ConsoleSettings
from guarantees.protocol import SETTLED
from guarantees.services import WITH_DATABASE
from saga_cli.log.reader import read
from saga_cli.stack import with_console
from saga_cli.stack.services import Instance, Services
from saga_cli.topology import CONSOLE
from shared_events.catalog import CATALOG
from tests.support.databases import rows
from tests.support.shop import Load, place_many, settled
from tests.support.waiting import until

CHECK = """
import sys
import alembic.command
import console
from chassis.postgres import PostgresDatabase
from chassis.postgres.upgrading import config_of
from chassis.process.runtime import migrations_of
alembic.command.check(config_of(migrations_of(console.__file__), PostgresDatabase.at(sys.argv[1])))
"""
ALL = 10_000
EVENTS = (
    'SELECT order_id, service, sequence, id, type, topic, partition, "offset", payload FROM events'
)
FOLDED = "SELECT * FROM orders ORDER BY id"
WAITS = "SELECT edge, order_id, since FROM waits ORDER BY edge, order_id"


@pytest.fixture(scope="module")
def shown(stack: Services) -> Iterator[Instance]:
    """The console over the stack, and a few orders of each end."""
    instance = with_console.start(stack)
    try:
        ids = asyncio.run(place_many([stack.url("order")], 24))
        assert settled(stack, ids).is_clean
        until(lambda: all_read(stack), what="all that is in the log")
        yield instance
    finally:
        stack.instances.remove(instance)
        code = instance.process.stop()
        instance.port.release()
    assert code == 0


def url_of(stack: Services) -> str:
    return stack.addresses.database_url(CONSOLE)


def logged(stack: Services) -> set[tuple[str, str]]:
    """Subject and id of each event of an order in Kafka."""
    events = asyncio.run(read(stack.addresses.kafka))
    return {
        (e.envelope.subject, str(e.envelope.id))
        for e in events
        if CATALOG.entry_of(e.envelope.event).is_of_a_saga
    }


def all_read(stack: Services) -> bool:
    found = rows(url_of(stack), "SELECT order_id, id::text FROM events")
    return set(found) == logged(stack) and len(found) == len(set(found))


@asynccontextmanager
async def asked(stack: Services) -> AsyncIterator[Queries]:
    queries = await Queries.connect(PostgresDatabase.at(url_of(stack)), _unknown)
    try:
        yield queries
    finally:
        await queries.close()


def _unknown() -> ReaderState:
    raise AssertionError("another process reads")


async def everything(
    queries: Queries, wanted: Filter = EVERYTHING, limit: int = 7
) -> list[OrderRow]:
    found: list[OrderRow] = []
    cursor = ""
    while True:
        page = await queries.orders(wanted, cursor, limit)
        found += page.rows
        cursor = page.next
        if not cursor:
            return found


def test_the_models_and_the_migrations_agree(stack: Services, shown: Instance) -> None:
    """In a process of its own, as the owner."""
    run = [sys.executable, "-c", CHECK, stack.addresses.owner_url(CONSOLE)]
    result = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


async def test_each_order_stands_where_each_service_has_it(
    stack: Services, shown: Instance
) -> None:
    async with asked(stack) as queries:
        orders = {order.id: order for order in await everything(queries)}
    for name, manifest in WITH_DATABASE.items():
        query = f"SELECT order_id, status FROM {manifest.table}"  # noqa: S608 - of a manifest
        stored = dict(await asyncio.to_thread(rows, stack.addresses.database_url(manifest), query))
        known = {id_: order.states.get(name, flow.ABSENT) for id_, order in orders.items()}
        assert {id_: stored.get(id_, flow.ABSENT) for id_ in known} == known


async def test_pages_hold_each_order_once_the_newest_first(
    stack: Services, shown: Instance
) -> None:
    async with asked(stack) as queries:
        orders = await everything(queries)
        count = await queries.count(EVERYTHING)
    assert len({order.id for order in orders}) == len(orders) == count.number
    placed = [order.placed_at for order in orders if order.placed_at]
    assert all(a + timedelta(seconds=1) >= b for a, b in pairwise(placed))


async def test_a_filter_finds_the_orders_that_meet_it_and_counts_them(
    stack: Services, shown: Instance
) -> None:
    async with asked(stack) as queries:
        orders = await everything(queries, limit=100)
        reasons = Counter(order.reason for order in orders if order.reason)
        assert set(await queries.reasons()) == reasons.keys()
        some = frozenset(list(reasons)[:2])
        ids = frozenset(order.id for order in orders[:3])
        wanted: dict[Filter, Callable[[OrderRow], bool]] = {
            Filter(states=frozenset({"Cancelled"})): lambda o: o.state == "Cancelled",
            Filter(states=frozenset({"Cancelled", "Confirmed"})): lambda o: o.state in SETTLED,
            Filter(reasons=some): lambda o: o.reason in some,
            Filter(customers=frozenset({orders[0].customer})): lambda o: (
                o.customer == orders[0].customer
            ),
            Filter(customers=frozenset({orders[0].customer}), states=frozenset({"Confirmed"})): (
                lambda o: o.customer == orders[0].customer and o.state == "Confirmed"
            ),
            Filter(in_flight=True): lambda o: o.is_in_flight,
            Filter(in_flight=False, reasons=some): lambda o: o.reason in some,
            Filter(ids=ids): lambda o: o.id in ids,
            Filter(ids=frozenset()): lambda _: False,
            Filter(text=orders[0].id[:12]): lambda o: o.id.startswith(orders[0].id[:12]),
            Filter(older=timedelta(days=1)): lambda _: False,
            Filter(waiting=timedelta(0)): lambda _: True,
            Filter(edges=frozenset({"shipping:DispatchDue"})): lambda o: (
                "shipping:DispatchDue" in o.edges
            ),
            Filter(steps=frozenset({"payment"})): lambda o: o.step == "payment",
        }
        for each, holds in wanted.items():
            expected = [order.id for order in orders if holds(order)]
            assert [order.id for order in await everything(queries, each)] == expected, each
            assert (await queries.count(each)).number == len(expected), each
        assert str(await queries.count(EVERYTHING, cap=2)) == "2+"


async def test_an_order_has_all_its_events_and_the_edges_that_it_has_passed(
    stack: Services, shown: Instance
) -> None:
    async with asked(stack) as queries:
        confirmed = (await queries.orders(Filter(states=frozenset({"Confirmed"})))).rows[0]
        found = await queries.order(confirmed.id)
        assert await queries.order("nobody") is None
    assert found is not None
    assert found.order == confirmed
    assert [event.type for event in found.events][:2] == ["order.placed.v1", "stock.reserved.v1"]
    assert len(found.events) == confirmed.events
    assert found.causes[found.events[0].id] == ""
    assert all(found.causes[event.id] for event in found.events[1:])
    assert found.path[:3] == ("order.placed>inventory", "stock.reserved>payment", "payment:Capture")
    assert found.remaining == ()
    assert found.events[0].payload["order"]["customer_id"] == confirmed.customer


async def test_any_id_is_found(stack: Services, shown: Instance) -> None:
    async with asked(stack) as queries:
        order = (await queries.orders(Filter(states=frozenset({"Confirmed"})))).rows[0]
        found = await queries.order(order.id)
        assert found is not None
        shipment = next(e for e in found.events if e.type == "shipment.created.v1")
        for text, kind in (
            (order.id, FoundKind.ORDER),
            (shipment.id.upper(), FoundKind.EVENT),
            (shipment.payload["shipment_id"], FoundKind.REFERENCE),
            (order.customer, FoundKind.CUSTOMER),
        ):
            (one,) = await queries.find(f" {text} ")
            assert (one.kind, one.order_id) == (
                kind,
                "" if kind is FoundKind.CUSTOMER else order.id,
            )
        assert order.id in {each.order_id for each in await queries.find(order.id[:-2])}
        assert await queries.find("nothing of this name") == ()


async def test_what_no_database_keeps_as_text_finds_nothing(
    stack: Services, shown: Instance
) -> None:
    nul = Filter(text="\0")
    async with asked(stack) as queries:
        assert (await queries.find("\0x"), await queries.order("\0")) == ((), None)
        assert ((await queries.orders(nul)).rows, (await queries.count(nul)).number) == ((), 0)


async def test_the_map_counts_orders_and_says_how_long_hops_take(
    stack: Services, shown: Instance
) -> None:
    async with asked(stack) as queries:
        orders = await everything(queries, limit=100)
        standing = await queries.standing()
    states = Counter(order.state for order in orders)
    assert {state: n.number for state, n in standing.states.items()} == states
    assert standing.in_flight.number == 0
    by_id = {at.edge.id: at for at in standing.edges}
    waiting = Counter(edge for order in orders for edge in order.edges)
    assert {id_: at.waiting.number for id_, at in by_id.items() if at.waiting.number} == waiting
    assert by_id["stock.reserved>payment"].median_ms is not None
    assert by_id["payment:Capture"].median_ms is not None


async def test_the_map_of_an_instant_has_an_order_where_it_was_then(
    stack: Services, shown: Instance
) -> None:
    async with asked(stack) as queries:
        order = (await queries.orders(Filter(states=frozenset({"Confirmed"})))).rows[0]
        found = await queries.order(order.id)
        assert found is not None
        reserved = next(e for e in found.events if e.type == "stock.reserved.v1")
        before = await queries.at(found.events[0].time - timedelta(days=365))
        then = await queries.at(reserved.time)
    assert then.instant == reserved.time
    waiting = {at.edge.id: at.waiting.number for at in then.edges}
    assert waiting["stock.reserved>payment"] >= 1
    assert then.states["Pending"].number >= 1
    assert (before.in_flight.number, dict(before.states)) == (0, {})


async def test_changes_come_once_from_where_one_has_stopped(
    stack: Services, shown: Instance
) -> None:
    async with asked(stack) as queries:
        cut = await queries.changes_since(0, 3)
        assert (cut.is_cut, cut.changes) == (True, ())
        newest = await queries.changes_since(cut.position - 100, ALL)
        positions = [change.position for change in newest.changes]
        assert positions == sorted(set(positions))
        assert cut.position in positions
        middle = positions[len(positions) // 2]
        later = await queries.changes_since(middle, ALL)
        expected = [position for position in positions if position > middle]
        assert [c.position for c in later.changes][: len(expected)] == expected
        new = await queries.changes_since(cut.position)  # other tests' orders go on
        assert new.position >= cut.position
        assert all(change.position > cut.position for change in new.changes)


async def test_what_people_did_is_listed_the_newest_first(stack: Services, shown: Instance) -> None:
    async with asked(stack) as queries:
        for number in (1, 2):
            await queries.record("ann", "unmask", f"order {number}", "a complaint")
        first, second = (await queries.actions(2))[:2]
    assert [(a.by, a.detail) for a in (first, second)] == [("ann", "order 2"), ("ann", "order 1")]


def test_a_console_that_is_killed_under_load_catches_up_and_nothing_counts_twice(
    stack: Services, shown: Instance
) -> None:
    load = Load(stack.url("order"))
    with load.running():
        load.await_more(10)
        shown.process.kill()
        load.await_more(10)
        shown.process.start()
        load.await_more(5)
    assert settled(stack, load.acknowledged).is_clean
    until(lambda: all_read(stack), what="all that was placed meanwhile")
    counted = rows(url_of(stack), "SELECT sum(events)::int FROM orders")
    assert counted == [(len(logged(stack)),)]


def test_a_rebuild_reads_all_anew_and_comes_to_the_same(stack: Services, shown: Instance) -> None:
    url = url_of(stack)

    def found() -> list[Any]:
        return [sorted(rows(url, EVENTS)), rows(url, FOLDED), rows(url, WAITS)]

    before, actions = found(), rows(url, "SELECT * FROM operator_actions")
    asyncio.run(rebuild(PostgresDatabase.at(stack.addresses.owner_url(CONSOLE))))
    until(lambda: found() == before, what="the same")
    assert rows(url, "SELECT * FROM operator_actions") == actions
    assert rows(url, "SELECT min(position) FROM events") == [(1,)]


def test_a_second_console_waits_while_the_first_one_reads(stack: Services, shown: Instance) -> None:
    second = stack.start_one(CONSOLE, dict(shown.process.env) | {"CONSOLE_HTTP_PORT": "0"})
    try:
        until(lambda: "standing_by" in second.process.tail(50), what="a standby")
        shown.process.kill()
        ids = asyncio.run(place_many([stack.url("order")], 2))
        assert settled(stack, ids).is_clean
        until(lambda: all_read(stack), what="what the second one reads")
        shown.process.start()
        stack.await_ready([shown])
    finally:
        stack.instances.remove(second)
        code = second.process.stop()
        second.port.release()
    assert code == 0


def test_a_service_that_there_is_not_is_a_wrong_setting() -> None:
    with pytest.raises(ValueError, match="there is no service orders"):
        ConsoleSettings.model_validate(
            {
                "kafka_bootstrap": "h:1",
                "database_url": "postgresql://a:b@h/d",
                "auth": "off",
                "services": {"orders": ["http://h:1"]},
            }
        )
