"""Rows that Kafka never takes: what waits for them, and what does not."""

from typing import Any

import pytest

from chassis import ids
from chassis.events import dead_letters_of
from chassis.message import OutboxRow
from payment_svc import service as payment_service
from payment_svc.store import PAYMENTS
from shared_events.inventory import StockReserved
from tests.integration.chassis_fixtures import STORES, Home, Kind, kind_of
from tests.support.records import a_message, an_order
from tests.support.relaying import relayed

EVENTS, OTHERS = "payment.forward", "payment.backward"
LETTERS = dead_letters_of("payment")


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request, Home(payment_service.SERVICE, PAYMENTS))


async def put(store: Any, *places: tuple[str, str]) -> list[str]:
    """A row of each topic and key, after all that was there; their ids."""
    assert await store.lead()
    rows = [OutboxRow(topic, key, b"{}", []) for topic, key in places]
    await store.put(rows)
    return [id_ for id_, _ in (await store.pending(100_000))[-len(rows) :]]


async def test_later_rows_of_its_key_wait_and_copies_of_dead_letters_do_not(kind: Kind) -> None:
    store, key, other = await kind.connect(kind.service), ids.new_id(), ids.new_id()
    rows = [(EVENTS, key), (EVENTS, key), (OTHERS, key), (LETTERS, key), (EVENTS, other)]
    first, *_ = await put(store, *rows)
    await store.refuse({first: "too large"})
    places = [(row.topic, row.key) for _, row in await store.pending(100_000)]
    assert [place for place in places if place in rows] == rows[3:]
    await store.close()


async def test_nothing_waits_for_a_copy_of_a_dead_letter(kind: Kind) -> None:
    store, key = await kind.connect(kind.service), ids.new_id()
    copy, event = await put(store, (LETTERS, key), (EVENTS, key))
    await store.refuse({copy: "too large"})
    assert event in dict(await store.pending(100_000))
    await store.close()


async def test_a_copy_that_is_refused_holds_up_no_effect_of_its_key(kind: Kind) -> None:
    store, order = await kind.connect(kind.service), an_order()
    await store.handle([a_message(StockReserved(order=order))])
    assert await relayed(store)
    (copy,) = await put(store, (LETTERS, order.order_id))
    await store.refuse({copy: "too large"})
    found = await store.due_effects(("Capture",), 10_000, 60)
    assert order.order_id in {effect.key for effect in found}
    await store.close()
