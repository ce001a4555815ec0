"""Outstanding effects: leased by one, due in its time, dropped with what needs it no more."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis import ids
from chassis.effects.worker import REFUSED_S
from chassis.errors import TransientError
from chassis.message import (
    FIRST_LEASE_S,
    REFUSED,
    Decided,
    Duplicate,
    EffectProgress,
    Message,
    PendingEffect,
)
from order_svc.messages import CancelOrder, CartLine, DeadlinePassed, PlaceOrder, PriceProduct
from order_svc.service import SERVICE
from order_svc.store import ORDERS, PRODUCTS
from payment_svc import service as payment_service
from payment_svc.store import PAYMENTS
from shared_events.inventory import StockReserved
from shared_events.loyalty import PointsAwarded
from tests.integration.chassis_fixtures import STORES, Home, Kind, kind_of
from tests.support.opened import Opened
from tests.support.records import TRACE, a_message, an_order
from tests.support.relaying import due, relayed
from tests.support.waiting import until_async

TIMERS = ("DeadlinePassed",)


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request, Home(SERVICE, ORDERS, PRODUCTS))


@pytest.fixture
async def store(kind: Kind) -> AsyncIterator[Any]:
    store = await kind.connect(kind.service)
    yield store
    await store.close()


@pytest.fixture(params=STORES)
def payment(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request, Home(payment_service.SERVICE, PAYMENTS))


def command(key: str, body: Any) -> Message:
    return Message(
        id=ids.derived_id(ids.new_id()),
        key=key,
        body=body,
        at=datetime.now(UTC),
        traceparent=TRACE,
    )


async def place(store: Opened, patience: timedelta) -> str:
    order_id, sku = ids.new_id(), "CLOCK"
    price = PriceProduct(sku=sku, name="Clock", price_minor=1000, currency="EUR")
    order = PlaceOrder(
        order_id=order_id,
        customer_id="alice",
        cart=(CartLine(sku=sku, quantity=1),),
        currency="EUR",
        country="DE",
        patience=patience,
    )
    await store.handle([command(sku, price)])
    (outcome,) = await store.handle([command(order_id, order)])
    assert isinstance(outcome, Decided), outcome
    return order_id


async def leased(store: Opened, key: str, lease_s: float = 60) -> list[PendingEffect]:
    found = await due(store, TIMERS, 10_000, lease_s)
    return [effect for effect in found if effect.key == key]


async def outstanding_effects(kind: Kind, store: Opened, key: str) -> tuple[PendingEffect, ...]:
    return (await store.inspection.whereabouts(key)).outstanding_effects


async def test_a_timer_is_not_due_before_its_time(kind: Kind, store: Opened) -> None:
    order_id = await place(store, timedelta(hours=1))
    assert await leased(store, order_id) == []
    (timer,) = await outstanding_effects(kind, store, order_id)
    assert timer.due_at is not None
    assert abs(timer.due_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)


async def test_what_is_due_is_one_instances_until_its_lease_is_over(store: Opened) -> None:
    order_id = await place(store, timedelta(seconds=-1))
    (timer,) = await leased(store, order_id, lease_s=2)
    assert (timer.id, timer.tries) == (f"{order_id}:deadlinepassed:1", 1)
    assert await leased(store, order_id) == []
    again = await until_async(lambda: leased(store, order_id), 10, "the end of the lease")
    assert again[0].tries == 2


async def test_what_an_operator_wants_at_once_is_asked_now_and_written_down(
    payment: Kind,
) -> None:
    store = await payment.connect(payment.service)
    operations = store.inspection
    order = an_order()
    await store.handle([a_message(StockReserved(order=order))])
    (effect,) = [e for e in await due(store, ("Capture",), 10_000, 60) if e.key == order.order_id]
    await store.postpone(effect, 3600, "the provider is away")
    assert await operations.expedite(order.order_id, "ada") == 1
    (again,) = [e for e in await due(store, ("Capture",), 10_000, 60) if e.key == order.order_id]
    assert again.tries == 2
    trail = [(a.by, a.action) for _, a in await operations.actions(order.order_id)]
    assert trail == [("ada", "expedite")]
    assert await operations.expedite(ids.new_id(), "ada") == 0
    await store.close()


async def test_what_a_provider_refuses_as_it_stands_is_counted_and_not_due(payment: Kind) -> None:
    store, order = await payment.connect(payment.service), an_order()
    await store.handle([a_message(StockReserved(order=order))])
    (effect,) = [e for e in await due(store, ("Capture",), 10_000, 60) if e.key == order.order_id]
    before = (await store.backlog()).effects_in(EffectProgress.ATTENTION)
    await store.postpone(effect, 0, "ProviderError: 500")
    assert (await store.backlog()).effects_in(EffectProgress.ATTENTION) == before
    await store.postpone(effect, REFUSED_S, f"{REFUSED}no amount of ISK")
    assert (await store.backlog()).effects_in(EffectProgress.ATTENTION) == before + 1
    (kept,) = await outstanding_effects(payment, store, order.order_id)
    assert kept.needs_attention
    assert await store.inspection.expedite(order.order_id, "ops") == 1
    await store.close()


async def test_nobody_outside_is_asked_for_what_is_not_in_the_log(payment: Kind) -> None:
    store, order = await payment.connect(payment.service), an_order()
    await store.handle([a_message(StockReserved(order=order))])
    found = await store.due_effects(("Capture",), 10_000, 60)
    assert order.order_id not in {effect.key for effect in found}
    assert await relayed(store) > 0
    found = await store.due_effects(("Capture",), 10_000, 60)
    assert order.order_id in {effect.key for effect in found}
    await store.close()


async def test_only_the_kinds_asked_for_are_leased(store: Opened) -> None:
    order_id = await place(store, timedelta(seconds=-1))
    assert await due(store, ("Capture",), 10_000, 60) == []
    assert len(await leased(store, order_id)) == 1


async def test_what_is_postponed_keeps_its_error_and_comes_later(kind: Kind, store: Opened) -> None:
    order_id = await place(store, timedelta(seconds=-1))
    (timer,) = await leased(store, order_id, lease_s=0)
    await store.postpone(timer, 3600, "the provider is away")
    assert await leased(store, order_id) == []
    (waiting,) = await outstanding_effects(kind, store, order_id)
    assert waiting.last_error == "the provider is away"


@pytest.mark.parametrize("ends", ["confirmed", "cancelled"])
async def test_a_settled_order_needs_its_timer_no_more(
    kind: Kind, store: Opened, ends: str
) -> None:
    order_id = await place(store, timedelta(hours=1))
    award = PointsAwarded(order_id=order_id, customer_id="alice", points=1)
    cancel = command(order_id, CancelOrder(order_id=order_id))
    await store.handle([a_message(award) if ends == "confirmed" else cancel])
    assert await outstanding_effects(kind, store, order_id) == ()


async def test_the_outcome_of_a_timer_is_decided_once(kind: Kind, store: Opened) -> None:
    order_id = await place(store, timedelta(seconds=-1))
    (timer,) = await leased(store, order_id)
    outcome = Message(
        id=ids.derived_id("order", timer.id, "outcome"),
        key=order_id,
        body=DeadlinePassed(order_id=order_id),
        at=datetime.now(UTC),
        traceparent=timer.traceparent,
        effect_id=timer.id,
    )
    first, second = [(await store.handle([outcome]))[0] for _ in range(2)]
    assert isinstance(first, Decided)
    assert [event.reason for event in first.events] == ["deadline_exceeded"]
    assert second == Duplicate()
    assert await outstanding_effects(kind, store, order_id) == ()


async def test_two_writers_of_one_price_do_not_publish_one_revision_twice(
    store: Opened,
) -> None:
    sku = ids.new_id()
    prices = [PriceProduct(sku=sku, name="x", price_minor=n, currency="EUR") for n in range(20)]

    async def write(price: PriceProduct) -> int:
        message = command(sku, price)
        while True:
            try:
                (outcome,) = await store.handle([message])
            except TransientError:
                continue
            assert isinstance(outcome, Decided)
            return int(outcome.events[0].attempt)

    revisions = await asyncio.gather(*(write(price) for price in prices))
    assert sorted(revisions) == list(range(1, 21))


async def test_the_freshest_come_first_when_it_is_a_probe(store: Opened) -> None:
    old = await place(store, timedelta(seconds=-1))
    for effect in await due(store, TIMERS, 10_000, 60):
        if effect.key == old:
            await store.postpone(effect, -60, "no answer")
    new = await place(store, timedelta(seconds=-1))
    (probe,) = await due(store, TIMERS, 1, 60, freshest=True)
    assert probe.key == new
    (first,) = await due(store, TIMERS, 1, 60)
    assert first.key == old


@pytest.mark.parametrize("leases", [1, 0], ids=["leads", "does not lead"])
async def test_who_leads_the_relay_owes_what_it_takes_with_a_first_lease(
    payment: Kind, leases: int
) -> None:
    """It learns when the intent is in the log, and asks then without looking here."""
    store, order = await payment.connect(payment.service), an_order()
    committed_effects: list[PendingEffect] = []
    store.core.handler.leased = lambda: frozenset({"Capture"} if store.core.outbox.leads else ())
    store.core.bus.committed.append(lambda event: committed_effects.extend(event.result.effects))
    if leases:
        assert await store.lead()
    await store.handle([a_message(StockReserved(order=order))])
    (effect,) = await outstanding_effects(payment, store, order.order_id)
    assert [e.tries for e in committed_effects] == [effect.tries] == [leases]
    assert effect.due_at is not None
    wait_s = (effect.due_at - datetime.now(UTC)).total_seconds()
    assert (wait_s > FIRST_LEASE_S / 2) == bool(leases)
    found = await due(store, ("Capture",), 10_000, 60)
    assert (order.order_id in {e.key for e in found}) != bool(leases)
    await store.close()


async def test_what_is_owed_and_done_with_in_one_batch_is_owed_no_more(
    kind: Kind, store: Opened
) -> None:
    """An order that is cancelled in the batch that places it has no deadline left."""
    await place(store, timedelta(hours=1))
    order_id, cart = ids.new_id(), (CartLine(sku="CLOCK", quantity=1),)
    order = PlaceOrder(
        order_id=order_id,
        customer_id="alice",
        cart=cart,
        currency="EUR",
        country="DE",
        patience=timedelta(hours=1),
    )
    cancel = CancelOrder(order_id=order_id)
    outcomes = await store.handle([command(order_id, order), command(order_id, cancel)])
    assert [type(outcome) for outcome in outcomes] == [Decided, Decided]
    assert await outstanding_effects(kind, store, order_id) == ()
