"""A process decides on what it knows itself, and is never wrong where another went on meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from chassis import clock, ids
from chassis.dead_letters import unreadable
from chassis.decision import impossible, nothing
from chassis.message import Claim, Decided, Duplicate, Parked
from chassis.outbox.recent import RecentOutboxRows
from chassis.postgres.unit import PostgresUnit
from chassis.state_cache import StateCache
from inventory_svc import service as inventory
from inventory_svc.domain import Absent
from inventory_svc.messages import ReceiveStock, SetStock
from inventory_svc.store import RESERVATIONS, STOCK
from order_svc import service as order_service
from order_svc.messages import CancelOrder
from order_svc.store import ORDERS, PRODUCTS
from saga_cli.topology import Addresses
from shared_events.loyalty import PointsAwarded
from shared_events.order import OrderCancellationRequested
from shipping_svc.messages import Booked
from simulation.memory_unit import MemoryUnit
from tests.integration.chassis_fixtures import (
    Home,
    Kind,
    kind_of,
    on_postgres,
    waits,
)
from tests.integration.chassis_fixtures import two as pair
from tests.integration.test_transactions import command, outbox, placing, priced
from tests.support.opened import Opened
from tests.support.records import (
    about,
    an_order,
    confirmed,
    declined,
    placed,
    published_by,
    wanting,
)

Two = tuple[Opened, Opened]


@pytest.fixture(params=["postgres", "memory"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request, Home(inventory.SERVICE, RESERVATIONS, STOCK))


@pytest.fixture
async def two(kind: Kind) -> AsyncIterator[Two]:
    """Two processes of the inventory service; the first knows what it did, the second as well."""
    stores = [await kind.connect(inventory.SERVICE) for _ in range(2)]
    yield stores[0], stores[1]
    for store in stores:
        await store.close()


@pytest.fixture(params=["postgres", "memory"])
async def orders(request: pytest.FixtureRequest) -> AsyncIterator[Two]:
    """The same of the order service."""
    kind = kind_of(request, Home(order_service.SERVICE, ORDERS, PRODUCTS))
    stores = [await kind.connect(order_service.SERVICE) for _ in range(2)]
    yield stores[0], stores[1]
    for store in stores:
        await store.close()


def by_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on it must not read anything before it decides."""

    async def read(*_: Any) -> Any:
        raise AssertionError("it looked something up")

    for unit in (PostgresUnit, MemoryUnit):
        monkeypatch.setattr(unit, "read", read)
        monkeypatch.setattr(unit, "read_shared", read)


def cache(opened: Opened) -> StateCache:
    units = opened.core.handler.units
    assert isinstance(units, StateCache)
    return units


def recent(opened: Opened) -> RecentOutboxRows:
    outbox = opened.core.outbox
    assert isinstance(outbox, RecentOutboxRows)
    return outbox


async def stocked(store: Any, pieces: int) -> str:
    """A new SKU; the store has seen it since, as it has of whatever it sold."""
    sku = ids.new_id()
    await store.handle([command(sku, ReceiveStock(sku=sku, quantity=pieces))])
    return sku


async def test_an_order_that_it_wrote_and_stock_that_it_knows_are_not_read_again(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = two
    sku = await stocked(first, 3)
    by_memory_alone(monkeypatch)
    order, other = wanting(sku), wanting(sku, quantity=5)
    (reserved, rejected) = await first.handle([placed(order), placed(other)])
    assert published_by(reserved) == ("stock.reserved.v1",)
    assert published_by(rejected) == ("stock.rejected.v1",)
    (sold,) = await first.handle([confirmed(order)])
    assert published_by(sold) == ("stock.committed.v1",)
    level = await first.probe.shared_row(sku)
    assert (level.available, level.reserved, level.committed) == (2, 0, 1)


async def test_what_another_decided_meanwhile_counts(two: Two) -> None:
    first, second = two
    sku = await stocked(first, 3)
    order = wanting(sku)
    await first.handle([placed(order)])
    await second.handle([declined(order)])
    (outcome,) = await first.handle([confirmed(order)])
    assert isinstance(outcome, Decided)
    assert outcome.events == ()
    level = await first.probe.shared_row(sku)
    assert (level.available, level.reserved, level.committed) == (3, 0, 0)


async def test_nothing_is_decided_by_a_state_that_is_no_more(two: Two) -> None:
    """The first knows it as reserved, and would have it changed nothing; the second has sold it."""
    first, second = two
    sku = await stocked(first, 3)
    order = wanting(sku)
    await first.handle([placed(order)])
    await second.handle([confirmed(order)])
    (outcome,) = await first.handle([declined(order)])
    assert isinstance(outcome, Decided)
    (event,) = outcome.events
    assert event.lines == order.lines
    assert (await first.probe.shared_row(sku)).available == 3


async def test_what_changes_nothing_by_a_state_that_is_no_more_is_decided_anew(orders: Two) -> None:
    """The first knows the order as confirmed, where a second award says nothing new."""
    first, second = orders
    await first.handle([priced("CLOCK", 1000)])
    order = placing(Claim("alice", ids.new_id(), b""))
    await first.handle([order])
    (award, again) = (
        about(PointsAwarded(order_id=order.key, customer_id="alice", points=1, attempt=attempt))
        for attempt in (1, 2)
    )
    await first.handle([award])
    await second.handle([command(order.key, CancelOrder(order_id=order.key))])
    (outcome,) = await first.handle([again])
    assert published_by(outcome) == ("order.cancellation_refused.v1",)


async def test_an_order_that_is_taken_for_absent_is_decided_anew_when_another_has_it(
    kind: Kind,
) -> None:
    """The first looks nothing up for a message that orders begin with, and would do nothing."""

    def begun(state: Any, message: Any, at: Any) -> Any:
        if isinstance(state.reservation, Absent):
            return nothing("not begun")
        return impossible("begun before")

    idle, other = (
        await kind.connect(replace(inventory.SERVICE, decide=begun)),
        await kind.connect(inventory.SERVICE),
    )
    order = wanting(await stocked(other, 1))
    await other.handle([about(OrderCancellationRequested(order_id=order.order_id, reason="x"))])
    assert await idle.handle([placed(order)]) == [Parked("begun before")]
    await idle.close()
    await other.close()


async def test_the_last_piece_is_sold_once_whoever_knew_of_it(two: Two) -> None:
    first, second = two
    sku = await stocked(first, 1)
    await second.handle([placed(wanting(sku, quantity=9))])
    orders = [wanting(sku), wanting(sku)]
    outcomes = await asyncio.gather(
        first.handle([placed(orders[0])]), second.handle([placed(orders[1])])
    )
    fates = sorted(name for (outcome,) in outcomes for name in published_by(outcome))
    assert fates == ["stock.rejected.v1", "stock.reserved.v1"]
    assert (await first.probe.shared_row(sku)).available == 0


async def test_stock_that_was_known_to_be_missing_is_sold_when_another_has_it(two: Two) -> None:
    first, second = two
    sku = ids.new_id()
    for _ in range(2):
        (refused,) = await first.handle([placed(wanting(sku))])
        assert published_by(refused) == ("stock.rejected.v1",)
    await second.handle([command(sku, SetStock(sku=sku, on_hand=1))])
    (reserved,) = await first.handle([placed(wanting(sku))])
    assert published_by(reserved) == ("stock.reserved.v1",)


async def test_stock_that_was_known_to_be_short_is_sold_when_another_has_it(two: Two) -> None:
    first, second = two
    sku = await stocked(first, 1)
    await second.handle([command(sku, ReceiveStock(sku=sku, quantity=5))])
    (reserved,) = await first.handle([placed(wanting(sku, quantity=3))])
    assert published_by(reserved) == ("stock.reserved.v1",)


async def test_a_message_that_another_has_handled_is_a_repeat(two: Two) -> None:
    first, second = two
    sku = await stocked(first, 1)
    message = placed(wanting(sku))
    await second.handle([message])
    assert await first.handle([message, message]) == [Duplicate(), Duplicate()]
    assert await outbox(first, message.key) == [(message.key, "stock.reserved.v1")]


async def test_it_does_not_overtake_what_another_has_parked(two: Two) -> None:
    first, second = two
    sku = await stocked(first, 1)
    order = wanting(sku)
    await first.handle([placed(order)])
    (parked,) = await second.handle([confirmed(wanting(sku))])
    assert isinstance(parked, Parked)
    record = confirmed(order).record
    assert record is not None
    await second.handle([unreadable(record, "malformed")])
    (waiting,) = await first.handle([declined(order)])
    assert isinstance(waiting, Parked)


async def test_after_a_surprise_it_reads_for_a_time(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    sku = await stocked(first, 9)
    await second.handle([placed(wanting(sku))])
    await first.handle([placed(wanting(sku))])
    assert not cache(first).is_trusted
    now = clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: now + 60)
    assert cache(first).is_trusted
    by_memory_alone(monkeypatch)
    await first.handle([placed(wanting(sku))])


async def test_it_knows_so_many_orders_and_no_more(two: Two) -> None:
    first, _ = two
    sku = await stocked(first, 100)
    cache(first).rows_max = 3
    orders = [wanting(sku) for _ in range(5)]
    await first.handle([placed(order) for order in orders])
    assert len(cache(first).own) == 3
    outcomes = await first.handle([confirmed(order) for order in orders])
    assert {published_by(outcome) for outcome in outcomes} == {("stock.committed.v1",)}


async def test_the_relay_is_given_its_own_rows_and_looks_where_others_may_have_been_before(
    two: Two,
) -> None:
    first, second = two
    sku = await stocked(first, 9)
    rows = recent(first)
    assert not rows.is_complete, "it does not lead"
    rows.others_s, rows.look_s = 0, 60  # what other tests have left is looked past
    await outbox(first)
    assert rows.is_complete
    order, theirs = wanting(sku), wanting(sku)
    await first.handle([placed(order)])
    assert [row.key for _, row in await first.pending(10_000)][-1] == order.order_id
    await second.handle([placed(theirs)])
    (outcome,) = await first.handle([confirmed(theirs)])
    assert published_by(outcome) == ("stock.committed.v1",)
    assert not rows.is_complete, "it has read what another wrote"
    assert await outbox(first, theirs.order_id) == [
        (theirs.order_id, "stock.reserved.v1"),
        (theirs.order_id, "stock.committed.v1"),
    ]


async def test_events_are_numbered_after_their_state_is_written(
    addresses: Addresses,
) -> None:
    """Who waits to write an order's row has taken no number yet, which a faster one would pass."""
    kind, order = on_postgres(addresses), an_order()
    booked = command(order.order_id, Booked(order_id=order.order_id, carrier_ref="C"))
    last = "SELECT pg_sequence_last_value(pg_get_serial_sequence('outbox', 'id')::regclass)"
    async with pair(kind) as (store, other):
        await store.handle([kind.first(order)])
        async with other.transaction() as holding, administrator(addresses, holding) as admin:
            row = f"SELECT FROM {other.own.table} WHERE order_id = $1 FOR UPDATE"
            await holding.execute(row, order.order_id)
            before = await admin.fetchval(last)
            writer = asyncio.create_task(store.handle([booked]))
            await waits(store, writer)
            assert await admin.fetchval(last) == before
        await writer


@asynccontextmanager
async def administrator(addresses: Addresses, of: Any) -> AsyncIterator[Any]:
    """A session in the same database: a service may not look at its sequences."""
    database = await of.fetchval("SELECT current_database()")
    admin = await asyncpg.connect(addresses.postgres_url, database=database)
    try:
        yield admin
    finally:
        await admin.close()
