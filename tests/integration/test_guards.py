"""A commit counts only if what it was decided on is so still, whatever the decision was."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from chassis import ids
from chassis.decision import impossible
from chassis.message import Decided, Duplicate
from inventory_svc.messages import ReceiveStock
from shipping_svc.domain import Booking
from shipping_svc.messages import Booked
from tests.integration.chassis_fixtures import STORES, Kind, held, kind_of, two, waits
from tests.integration.test_transactions import INVENTORY, command
from tests.support.records import an_order, published_by


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request)


async def test_what_changes_nothing_waits_for_who_is_changing_the_order(kind: Kind) -> None:
    """Else it would be decided by a state that is no more when it is committed."""
    message = kind.first(an_order())
    booked = command(message.key, Booked(order_id=message.key, carrier_ref="C"))
    again = replace(message, id=ids.derived_id(ids.new_id()))
    async with two(kind) as (first, second):
        await first.handle([message])
        await second.handle([again])
        async with held(first, booked):
            other = asyncio.create_task(
                second.handle([replace(message, id=ids.derived_id(ids.new_id()))])
            )
            await waits(second, other)
        assert published_by((await other)[0]) == ()


@pytest.fixture(params=["postgres, reading", "memory, reading"])
def stock(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request, INVENTORY)


@pytest.mark.parametrize("is_there", [True, False], ids=["there", "absent"])
async def test_who_waits_for_a_row_that_orders_share_decides_once(
    stock: Kind, *, is_there: bool
) -> None:
    """It waits before it decides: by what it has read then, nobody is faster."""
    sku, decided = ids.new_id(), list[Any]()

    def counting(state: Any, message: Any, at: Any) -> Any:
        decided.append(message)
        return stock.service.decide(state, message, at)

    first = await stock.connect(stock.service)
    second = await stock.connect(replace(stock.service, decide=counting))
    if is_there:
        await first.handle([command(sku, ReceiveStock(sku=sku, quantity=1))])
    async with held(first, command(sku, ReceiveStock(sku=sku, quantity=2))):
        other = asyncio.create_task(
            second.handle([command(sku, ReceiveStock(sku=sku, quantity=3))])
        )
        await waits(second, other)
    assert isinstance((await other)[0], Decided)
    assert len(decided) == 1
    assert (await first.probe.shared_row(sku)).available == 5 + is_there
    for store in (first, second):
        await store.close()


async def test_an_outcome_that_comes_again_is_a_repeat_also_where_the_rules_refuse_it(
    kind: Kind,
) -> None:
    """By what this process has cached it could not come: what the inbox has counts."""
    message = kind.first(an_order())
    booked = replace(
        command(message.key, Booked(order_id=message.key, carrier_ref="C")),
        effect_id=f"{message.key}:book:1",
    )

    def once(state: Any, body: Any, at: Any) -> Any:
        if isinstance(body, Booked) and not isinstance(state, Booking):
            return impossible("booked twice")
        return kind.service.decide(state, body, at)

    store = await kind.connect(replace(kind.service, decide=once))
    await store.handle([message])
    assert isinstance((await store.handle([booked]))[0], Decided)
    assert await store.handle([booked]) == [Duplicate()]
    await store.close()
