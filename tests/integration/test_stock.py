"""Stock under concurrency: two inventory instances on one database, one hot SKU."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis import ids
from chassis.errors import TransientError
from chassis.message import Message
from inventory_svc.messages import ReceiveStock
from inventory_svc.service import SERVICE
from inventory_svc.store import RESERVATIONS, STOCK
from shared_events.inventory import StockReserved
from shared_events.order import OrderPlaced
from shared_events.values import Line
from tests.integration.chassis_fixtures import STORES, Home, Kind, kind_of
from tests.support.opened import Opened
from tests.support.records import TRACE, a_message, an_order


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request, Home(SERVICE, RESERVATIONS, STOCK))


@pytest.fixture
async def instances(kind: Kind) -> AsyncIterator[list[Opened]]:
    stores = [await kind.connect(kind.service) for _ in range(2)]
    yield stores
    for store in stores:
        await store.close()


def _receipt(sku: str, quantity: int) -> Message:
    return Message(
        id=ids.derived_id(ids.new_id()),
        key=sku,
        body=ReceiveStock(sku=sku, quantity=quantity),
        at=datetime.now(UTC),
        traceparent=TRACE,
    )


async def _handle(store: Opened, *messages: Message) -> list[Any]:
    while True:
        try:
            return list(await store.handle(messages))
        except TransientError:
            continue


async def _level(store: Any, sku: str) -> tuple[int, int]:
    level = await store.probe.shared_row(sku)
    return level.available, level.reserved


async def test_receipts_of_a_new_sku_at_once_are_all_counted(
    instances: list[Opened],
) -> None:
    sku = ids.new_id()
    receipts = (_handle(instances[n % 2], _receipt(sku, 5)) for n in range(40))
    await asyncio.gather(*receipts)
    assert await _level(instances[0], sku) == (200, 0)


async def test_the_last_fifty_pieces_are_sold_fifty_times(instances: list[Opened]) -> None:
    hot, common = sorted((ids.new_id(), ids.new_id()))
    await _handle(instances[0], _receipt(hot, 50), _receipt(common, 10_000))
    lines = (
        Line(sku=common, quantity=1, unit_price_minor=1),
        Line(sku=hot, quantity=1, unit_price_minor=1),
    )
    placed = [
        a_message(OrderPlaced(order=an_order(lines=lines[:: (-1) ** n])), n) for n in range(500)
    ]
    batches = [placed[n : n + 10] for n in range(0, 500, 10)]
    handled = await asyncio.gather(
        *(_handle(instances[n % 2], *batch) for n, batch in enumerate(batches))
    )
    events = [event for outcomes in handled for outcome in outcomes for event in outcome.events]
    assert len(events) == 500
    assert sum(isinstance(event, StockReserved) for event in events) == 50
    assert await _level(instances[0], hot) == (0, 50)
    assert await _level(instances[0], common) == (9_950, 50)
