"""What can't be read in loyalty's own topic keeps it neither from a rebuild nor from a start."""

import asyncio
from dataclasses import replace
from typing import Any, Final

import pytest

from chassis import ids
from chassis.errors import StoreLostError, TransientError
from chassis.kafka.batches import UNREADABLE
from chassis.message import Message, OutboxRow, Record
from loyalty_svc.messages import SetStanding
from shared_events.order import OrderCancellationRequested
from shared_events.shipping import ShipmentCreated
from tests.simulation.loyalty import Loyalty, VirtualTime, books
from tests.support.opened import Opened
from tests.support.records import a_record, an_order

BAD_JSON: Final = b'{"order_id": '


def _inputs() -> list[Record]:
    """Of four orders, each with points that are awarded; two are deducted again."""
    found: list[Record] = []
    for n in range(4):
        order = an_order(f"o-{n}", customer_id=f"c-{n % 2}", placed_at=VirtualTime().at)
        created = a_record(ShipmentCreated(order=order, shipment_id="s"), n)
        found.append(created)
        if n % 2:
            cancel = OrderCancellationRequested(order_id=order.order_id, reason="customer")
            found.append(a_record(cancel, n))
    return found


async def _published(patch: pytest.MonkeyPatch) -> tuple[Loyalty, Opened]:
    time, loyalty = VirtualTime(), Loyalty(_inputs())
    time.replace(patch)
    loyalty.replace(patch)
    store = await loyalty.connect()
    await loyalty.consume(store, len(loyalty.inputs))
    await loyalty.relay(store)
    return loyalty, store


def _stray(loyalty: Loyalty, kind: str) -> str:
    """A record that somebody has left in a topic, with loyalty's own source; returns its place."""
    some = loyalty.published.records[-1]
    headers: dict[str, Any] = dict(some.headers)
    value: bytes | None = some.value
    match kind:
        case "bad JSON":
            value = BAD_JSON
        case "no value":
            value = None
        case "a type of another service":
            headers["ce_type"] = b"order.confirmed.v1"
        case "about another order":
            headers["ce_subject"] = b"o-0"
        case _:
            headers = {UNREADABLE: b"its checksum is wrong"}
    row = OutboxRow(some.topic, "stray", value, [*headers.items()])
    loyalty.published.add(row)
    return f"{row.topic}:0:{loyalty.published.end(row.topic) - 1}"


@pytest.mark.parametrize(
    "kind",
    ["bad JSON", "no value", "a type of another service", "about another order", "unreadable"],
)
@pytest.mark.parametrize("how", ["restarted", "flushed"])
async def test_a_stray_record_is_told_of_and_left_out(
    monkeypatch: pytest.MonkeyPatch, kind: str, how: str
) -> None:
    loyalty, store = await _published(monkeypatch)
    before = books(loyalty.redis)
    place = _stray(loyalty, kind)
    await _lost(loyalty, store, how)
    await store.prepare(asyncio.Event())
    assert books(loyalty.redis) == before
    assert store.unread == [place]
    assert place in store.unreadable()
    assert store.unavailable_reason == ""


async def _lost(loyalty: Loyalty, store: Opened, how: str) -> None:
    if how == "restarted":
        loyalty.redis.restart()
    else:
        loyalty.redis.flush()
    with pytest.raises(StoreLostError):
        await store.positions()


async def test_a_hole_in_a_keys_events_waits_for_a_person_who_goes_on_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What stands behind it may rest on it: it is put back, or an operator decides."""
    loyalty, store = await _published(monkeypatch)
    records, before = loyalty.published.records, books(loyalty.redis)
    first = next(r for r in records if r.key == b"o-1")
    second = next(r for r in records if r.key == b"o-1" and r is not first)
    assert (first.topic, second.topic) == ("loyalty.forward", "loyalty.backward")
    records[records.index(first)] = replace(first, value=BAD_JSON)
    await _lost(loyalty, store, "flushed")
    with pytest.raises(TransientError, match=f"skip loyalty.backward 0 {second.offset}"):
        await store.prepare(asyncio.Event())
    operations = store.inspection
    await operations.skip(second.topic, 0, second.offset, "eve", "the first is lost")
    await store.prepare(asyncio.Event())
    assert store.unread[0] == f"loyalty.forward:0:{first.offset}"
    others = {key: row for key, row in before.items() if b"o-1" not in key and b"c-1" not in key}
    assert others.items() <= books(loyalty.redis).items()
    (action,) = (x for _, x in await operations.actions(f"{second.topic}:0:{second.offset}"))
    assert (action.by, action.action) == ("eve", "skip")


async def test_of_a_key_with_two_holes_a_person_steps_over_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loyalty, store = await _published(monkeypatch)
    for number, suspended in enumerate((True, False, True, False)):
        command = SetStanding(customer_id="c-9", suspended=suspended)
        id_ = ids.derived_id("standing", str(number))
        at = VirtualTime().at
        await store.handle([Message(id=id_, key="c-9", body=command, at=at, traceparent="")])
    await loyalty.relay(store)
    records = loyalty.published.records
    first, second, third, fourth = (r for r in records if r.key == b"c-9")
    for lost in (first, third):
        records[records.index(lost)] = replace(lost, value=BAD_JSON)
    await _lost(loyalty, store, "flushed")
    for waiting in (second, fourth):
        with pytest.raises(TransientError, match=f"skip loyalty.facts 0 {waiting.offset}"):
            await store.prepare(asyncio.Event())
        await store.inspection.skip(waiting.topic, 0, waiting.offset, "eve", "it is lost")
    await store.prepare(asyncio.Event())
    assert loyalty.redis.data.values[b"loyalty:customer:c-9"][b"suspended"] == b"0"
