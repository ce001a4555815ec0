"""A Redis that has lost its last writes, however many, heals without a person (rule R10)."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from chassis import ids
from chassis.errors import StoreLostError
from chassis.message import Message, Record
from loyalty_svc.messages import SetStanding
from shared_events.order import OrderCancellationRequested
from shared_events.shipping import ShipmentCancellationRefused, ShipmentCreated
from tests.simulation.loyalty import Loyalty, VirtualTime, books
from tests.support.opened import Opened
from tests.support.records import a_record, an_order

START: Final = VirtualTime().at
SUSPENDED: Final = "c-1"
REFUSED: Final = (12, 15, 27, 33)


def _events() -> Iterator[Any]:
    """Orders of five customers: too late, cancelled, cancelled before they came, or in vain."""
    for n in range(40):
        order_id, reason = f"o-{n:02}", "customer"
        order = an_order(
            order_id,
            customer_id=f"c-{n % 5}",
            total_minor=1000 + 100 * n,
            placed_at=START,
            deadline=START + timedelta(days=-1 if n % 11 == 10 else 1),
        )
        cancelled = OrderCancellationRequested(order_id=order_id, reason=reason)
        if n % 7 == 3:
            yield cancelled
        yield ShipmentCreated(order=order, shipment_id=f"s-{n}")
        if n % 3 == 0:
            yield cancelled
        if n in REFUSED:
            yield ShipmentCancellationRefused(order_id=order_id, reason="left")


def _records() -> Iterator[Record]:
    ends: dict[str, int] = {}
    for event in _events():
        record = a_record(event)
        offset = ends.get(record.topic, 0)
        ends[record.topic] = offset + 1
        yield replace(record, offset=offset)


INPUTS: Final = list(_records())


async def _begun(
    patch: pytest.MonkeyPatch, until: int, batch: int = 7
) -> tuple[Loyalty, Opened, VirtualTime]:
    """A customer is suspended first; then loyalty has read so many records."""
    time, loyalty = VirtualTime(), Loyalty(INPUTS, batch)
    time.replace(patch)
    loyalty.replace(patch)
    store = await loyalty.connect()
    command = SetStanding(customer_id=SUSPENDED, suspended=True)
    id_ = ids.derived_id("suspend")
    await store.handle([Message(id=id_, key=SUSPENDED, body=command, at=START, traceparent="")])
    await loyalty.relay(store)
    await loyalty.consume(store, until)
    return loyalty, store, time


async def _looked_at_again(store: Opened) -> None:
    """As the consumer does: its store is lost, so it starts anew."""
    with pytest.raises(StoreLostError):
        await store.positions()
    await store.prepare(asyncio.Event())


@pytest.mark.parametrize(
    ("until", "days", "batch"),
    [(len(INPUTS) // 6, 0, 1), (len(INPUTS) // 2, 0, 7), (len(INPUTS), 2, 7)],
    ids=[
        "one by one, not all published",
        "half-way, not all published",
        "all published, and now too late to award",
    ],
)
async def test_set_back_to_any_earlier_write_it_decides_nothing_otherwise(
    monkeypatch: pytest.MonkeyPatch, until: int, days: int, batch: int
) -> None:
    complete, store, _ = await _begun(monkeypatch, len(INPUTS))
    await complete.relay(store)
    assert len(complete.published.records) == len(complete.published.facts) > 50
    writes = len((await _begun(monkeypatch, until, batch))[0].redis.log)
    for lost in range(1, writes + 1):
        loyalty, store, time = await _begun(monkeypatch, until, batch)
        if days:
            await loyalty.relay(store)
            await time.wait(days * 86_400)
        loyalty.redis.restart(lost_writes=lost)
        loyalty.batch = 7
        await _looked_at_again(store)
        await loyalty.consume(store, len(INPUTS))
        await loyalty.relay(store)
        assert books(loyalty.redis) == books(complete.redis), f"{lost} of {writes} writes lost"
        assert loyalty.published.facts == complete.published.facts, (
            f"{lost} of {writes} writes lost"
        )


async def test_flushed_it_is_filled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    loyalty, store, time = await _begun(monkeypatch, len(INPUTS))
    await loyalty.relay(store)
    before, facts = books(loyalty.redis), loyalty.published.facts
    await time.wait(2 * 86_400)
    loyalty.redis.flush()
    await _looked_at_again(store)
    assert books(loyalty.redis) == before
    await loyalty.consume(store, len(INPUTS))
    await loyalty.relay(store)
    assert (books(loyalty.redis), loyalty.published.facts) == (before, facts)
