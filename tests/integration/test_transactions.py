"""What stores rest on when two transactions meet, on PostgreSQL and in the simulation's memory."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis import ids
from chassis.decision import Decision, Later
from chassis.errors import TransientError
from chassis.message import (
    Claim,
    Decided,
    Duplicate,
    IdempotencyConflict,
    Message,
    Outcome,
    Parked,
    PendingEffect,
)
from chassis.outbox.recent import RecentOutboxRows
from chassis.service import Service
from inventory_svc import service as inventory
from inventory_svc.messages import ReceiveStock
from inventory_svc.store import RESERVATIONS, STOCK
from order_svc import service as order_service
from order_svc.messages import CartLine, PlaceOrder, PriceProduct
from order_svc.store import ORDERS, PRODUCTS
from shared_events.order import OrderCancellationRequested, OrderPlaced
from shared_events.values import Line
from shipping_svc.messages import Booked, CancelBooking, DispatchDue, HandOver
from tests.integration.chassis_fixtures import (
    STORES,
    Home,
    Kind,
    held,
    kind_of,
    two,
    waits,
)
from tests.support.records import TRACE, a_message, an_order, published_by
from tests.support.relaying import due
from tests.support.waiting import until_async

INVENTORY = Home(inventory.SERVICE, RESERVATIONS, STOCK)
ORDER = Home(order_service.SERVICE, ORDERS, PRODUCTS)


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request)


@pytest.fixture(params=STORES)
def stock(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request, INVENTORY)


@pytest.fixture(params=STORES)
def orders(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request, ORDER)


async def outbox(store: Any, *keys: str) -> list[tuple[str, str]]:
    """Keys and wire types of these orders' pending rows."""
    await until_async(store.lead, 20, "the lead")
    rows = await store.pending(100_000)
    types = [(row.key, dict(row.headers)["ce_type"]) for _, row in rows if row.key in keys]
    return [(key, (type_ or b"").decode()) for key, type_ in types]


def cancelled(order_id: str) -> Message:
    return a_message(OrderCancellationRequested(order_id=order_id, reason="customer"))


def command(key: str, body: Any, claim: Claim | None = None) -> Message:
    id_, now = ids.derived_id(ids.new_id()), datetime.now(UTC)
    return Message(
        id=id_,
        key=key,
        body=body,
        at=now,
        traceparent=TRACE,
        claim=claim,
        respond=None if claim is None else lambda _events, _state: key.encode(),
    )


@pytest.mark.parametrize("rolled_back", [False, True], ids=["commits", "rolls back"])
async def test_a_second_delivery_waits_for_the_end_of_the_first(
    kind: Kind, *, rolled_back: bool
) -> None:
    message = kind.first(an_order())
    async with two(kind) as (first, second):
        async with held(first, message, rolled_back=rolled_back):
            again = asyncio.create_task(second.handle([message]))
            await waits(second, again)
        (outcome,) = await again
        assert isinstance(outcome, Decided if rolled_back else Duplicate)
        assert len(await outbox(first, message.key)) == 1


async def test_a_message_does_not_overtake_one_of_its_key_that_another_has_just_parked(
    kind: Kind,
) -> None:
    order = an_order()
    first, then = kind.first(order), cancelled(order.order_id)
    broken = await kind.connect(kind.failing_on(order.order_id))
    other = await kind.connect(kind.service)
    async with held(broken, first):
        both = asyncio.create_task(other.handle([first, then]))
        await waits(other, both)
    assert await both == [Duplicate(), Parked("waits behind a parked message of its key")]
    await broken.close()
    await other.close()


async def test_what_is_not_committed_does_not_show_and_a_rollback_leaves_nothing(
    kind: Kind,
) -> None:
    message = kind.first(an_order())
    async with two(kind) as (first, second):
        seen = second.inspection
        async with held(first, message, rolled_back=True):
            assert (await seen.whereabouts(message.key)).state == "Absent"
            assert await outbox(second, message.key) == []
        found = await seen.whereabouts(message.key)
        assert (found.state, found.outbox_rows, found.outstanding_effects) == ("Absent", 0, ())
        assert isinstance((await first.handle([message]))[0], Decided)
        found = await seen.whereabouts(message.key)
        assert (found.state, found.outbox_rows, len(found.outstanding_effects)) == ("Booking", 1, 1)


async def test_of_two_first_messages_of_an_order_the_second_starts_over(kind: Kind) -> None:
    order = an_order()
    async with two(kind) as (first, second):
        async with held(first, kind.first(order)):
            cancel = cancelled(order.order_id)
            other = asyncio.create_task(second.handle([cancel]))
            await waits(second, other)
        outcome = (await other)[0]
        assert isinstance(outcome, Decided)
        assert outcome.events == ()
        assert await outbox(first, order.order_id) == [
            (order.order_id, "shipment.booking_requested.v1")
        ]


async def test_of_two_later_messages_of_an_order_the_second_starts_over(kind: Kind) -> None:
    """And no event of the order has a lower id than one that was decided before it."""
    order = an_order()
    booked = [command(order.order_id, Booked(order_id=order.order_id, carrier_ref=r)) for r in "ab"]
    async with two(kind) as (first, second):
        await first.handle([kind.first(order)])
        async with held(first, booked[0]):
            other = asyncio.create_task(second.handle([booked[1]]))
            await waits(second, other)
        outcome = (await other)[0]
        assert published_by(outcome) == ()
        assert [type_ for _, type_ in await outbox(first, order.order_id)] == [
            "shipment.booking_requested.v1",
            "shipment.created.v1",
        ]


async def test_a_low_id_that_commits_late_is_seen_then_and_comes_first(kind: Kind) -> None:
    slow, quick = kind.first(an_order()), kind.first(an_order())
    async with two(kind) as (first, second):
        async with held(first, slow):
            await second.handle([quick])
            assert [key for key, _ in await outbox(second, slow.key, quick.key)] == [quick.key]
        assert [key for key, _ in await outbox(second, slow.key, quick.key)] == [
            slow.key,
            quick.key,
        ]


def placing(claim: Claim) -> Message:
    order_id = ids.new_id()
    order = PlaceOrder(
        order_id=order_id,
        customer_id="alice",
        cart=(CartLine(sku="CLOCK", quantity=1),),
        currency="EUR",
        country="DE",
        patience=timedelta(hours=1),
    )
    return command(order_id, order, claim)


def priced(sku: str, price_minor: int) -> Message:
    price = PriceProduct(sku=sku, name="Clock", price_minor=price_minor, currency="EUR")
    return command(sku, price)


@pytest.mark.parametrize("rolled_back", [False, True], ids=["commits", "rolls back"])
async def test_an_idempotency_key_that_two_use_at_once_is_answered_once(
    orders: Kind, *, rolled_back: bool
) -> None:
    claim = Claim("alice", ids.new_id(), b"cart")
    one, other = placing(claim), placing(claim)
    async with two(orders) as (first, second):
        await first.handle([priced("CLOCK", 1000)])
        async with held(first, one, rolled_back=rolled_back):
            waiter = asyncio.create_task(second.handle([other]))
            await waits(second, waiter)
        if rolled_back:
            assert isinstance((await waiter)[0], Decided)
        else:
            assert (await waiter)[0] == Duplicate(one.key.encode())
        winner = other if rolled_back else one
        assert await second.handle([other]) == [Duplicate(winner.key.encode())]
        assert await second.handle([placing(replace(claim, fingerprint=b"?"))]) == [
            IdempotencyConflict()
        ]
        assert len(await outbox(first, one.key, other.key)) == 1


async def test_the_second_writer_of_a_revision_starts_over_and_readers_do_not_wait(
    orders: Kind,
) -> None:
    async with two(orders) as (first, second):
        sku = ids.new_id()
        await first.handle([priced(sku, 1)])
        async with held(first, priced(sku, 2)):
            order = placing(Claim("alice", ids.new_id(), b""))
            cart = (CartLine(sku=sku, quantity=1),)
            reader = replace(order, body=replace(order.body, cart=cart))
            (placed,) = await second.handle([reader])
            assert placed.events[0].order.total_minor == 1
            third = priced(sku, 3)
            other = asyncio.create_task(second.handle([third]))
            await waits(second, other)
        outcome = (await other)[0]
        assert (outcome.events[0].attempt, outcome.events[0].price_minor) == (3, 3)
        assert (await first.probe.shared_row(sku)).revision == 3


@pytest.mark.parametrize("rolled_back", [False, True], ids=["commits", "rolls back"])
async def test_the_last_piece_is_decided_on_by_one_after_the_other(
    stock: Kind, *, rolled_back: bool
) -> None:
    sku = ids.new_id()
    line = Line(sku=sku, quantity=1, unit_price_minor=1)
    one, other = (a_message(OrderPlaced(order=an_order(lines=(line,)))) for _ in range(2))
    async with two(stock) as (first, second):
        await first.handle([command(sku, ReceiveStock(sku=sku, quantity=1))])
        async with held(first, one, rolled_back=rolled_back):
            waiter = asyncio.create_task(second.handle([other]))
            await waits(second, waiter)
        (outcome,) = await waiter
        fate = "stock.reserved.v1" if rolled_back else "stock.rejected.v1"
        assert published_by(outcome) == (fate,)
        level = await first.probe.shared_row(sku)
        assert (level.available, level.reserved) == (0, 1)


async def test_the_first_writers_of_a_shared_row_come_one_after_the_other(stock: Kind) -> None:
    sku = ids.new_id()
    receipts = [command(sku, ReceiveStock(sku=sku, quantity=5)) for _ in range(2)]
    async with two(stock) as (first, second):
        async with held(first, receipts[0]):
            other = asyncio.create_task(second.handle([receipts[1]]))
            await waits(second, other)
        assert isinstance((await other)[0], Decided)
        assert (await first.probe.shared_row(sku)).available == 10


async def test_what_waited_for_another_is_not_relayed_before_it(stock: Kind) -> None:
    """The outbox was read while the other was not committed: it has to be read again."""
    sku = ids.new_id()
    receipts = [command(sku, ReceiveStock(sku=sku, quantity=5)) for _ in range(2)]
    async with two(stock) as (first, second):
        if isinstance(
            rows := second.core.outbox, RecentOutboxRows
        ):  # what other tests have left is looked past
            rows.others_s, rows.look_s = 0, 60
        async with held(first, receipts[0]):
            other = asyncio.create_task(second.handle([receipts[1]]))
            await waits(second, other)
            assert not await outbox(second, sku)
        await other
        assert sum(row.key == sku for _, row in await second.pending(100_000)) == 2


async def test_the_right_to_relay_goes_with_its_session(kind: Kind) -> None:
    async with two(kind) as (first, second):
        assert await outbox(first) == []
        assert not await second.lead()
        await first.probe.cut()
        assert await outbox(second) == []
        with pytest.raises(TransientError):
            await first.pending(1)
        assert not await first.lead()


def outcome_of(effect: PendingEffect) -> Message:
    booked = Booked(order_id=effect.key, carrier_ref="C")
    return replace(command(effect.key, booked), effect_id=effect.id)


async def leased(store: Any, key: str, lease_s: float) -> list[PendingEffect]:
    found = await due(store, ("Book",), 10_000, lease_s)
    return [effect for effect in found if effect.key == key]


async def test_an_effect_whose_outcome_is_being_decided_is_nobodys_to_lease(kind: Kind) -> None:
    message = kind.first(an_order())
    async with two(kind) as (first, second):
        await first.handle([message])
        (effect,) = await leased(first, message.key, 0)
        async with held(first, outcome_of(effect), rolled_back=True):
            assert await leased(second, message.key, 0) == []
        assert len(await leased(second, message.key, 0)) == 1


async def test_who_postpones_a_finished_effect_does_not_bring_it_back(kind: Kind) -> None:
    message = kind.first(an_order())
    async with two(kind) as (first, second):
        await first.handle([message])
        (effect,) = await leased(first, message.key, 60)
        async with held(first, outcome_of(effect)):
            late = asyncio.create_task(second.postpone(effect, 0, "no answer"))
            await waits(second, late)
        await late
        assert (await first.inspection.whereabouts(message.key)).outstanding_effects == ()
        assert await leased(first, message.key, 60) == []


def owing(kind: Kind, *outstanding_effects: Any) -> Service:
    """The service with rules that owe these, whatever they are told."""
    return replace(kind.service, decide=lambda *_: Decision(effects=outstanding_effects))


async def test_what_is_owed_already_keeps_its_time(kind: Kind) -> None:
    message = kind.first(an_order())
    store = await kind.connect(owing(kind, HandOver(order_id=message.key, carrier_ref="C")))
    await store.handle([message])
    found = await due(store, ("HandOver",), 10_000, 60)
    (effect,) = [e for e in found if e.key == message.key]
    await store.postpone(effect, 3600, "no answer")
    await store.handle([replace(message, id=ids.derived_id(ids.new_id()))])
    (later,) = (await store.inspection.whereabouts(message.key)).outstanding_effects
    assert (later.tries, later.last_error) == (1, "no answer")
    assert later.due_at is not None
    assert later.due_at > datetime.now(UTC) + timedelta(minutes=30)
    await store.close()


async def test_the_longest_due_come_first_whatever_their_kind(kind: Kind) -> None:
    message, now = kind.first(an_order()), datetime.now(UTC)
    outstanding_effects = (
        HandOver(order_id=message.key, carrier_ref="C"),
        CancelBooking(order_id=message.key, carrier_ref="C"),
        DispatchDue(order_id=message.key),
    )
    dated = [
        Later(now - timedelta(days=n), what)
        for n, what in zip((2, 3, 1), outstanding_effects, strict=True)
    ]
    store = await kind.connect(owing(kind, *dated))
    await store.handle([message])
    kinds = tuple(type(what).__name__ for what in outstanding_effects)
    leased = [await due(store, kinds, 1, 3600) for _ in outstanding_effects]
    assert [effect.kind for (effect,) in leased] == ["CancelBooking", "HandOver", "DispatchDue"]
    assert {effect.key for (effect,) in leased} == {message.key}
    await store.close()


async def test_the_outcome_of_an_undecidable_effect_may_come_again(kind: Kind) -> None:
    """The inbox forgets it, as the effect is owed still."""
    order_id = ids.new_id()
    booked = command(order_id, Booked(order_id=order_id, carrier_ref="C"))
    outcome = replace(booked, effect_id="none")
    async with two(kind) as (first, second):
        firsts: list[Outcome] = await first.handle([outcome])
        assert firsts == await second.handle([outcome])
        assert type(firsts[0]).__name__ == "Parked"


async def test_the_timeline_tells_what_was_heard_and_said(orders: Kind) -> None:
    async with two(orders) as (store, _):
        order = placing(Claim("alice", ids.new_id(), b""))
        await store.handle([priced("CLOCK", 1000)])
        await store.handle([order])
        assert await store.probe.timeline(order.key) == [("PlaceOrder", "order.placed.v1")]
