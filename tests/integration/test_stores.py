"""What every store promises, on real PostgreSQL, real Redis and the simulation's memory: one suite."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from chassis.dead_letters import unreadable
from chassis.errors import TransientError
from chassis.message import Decided, Duplicate, Message, Parked, Record
from tests.integration.chassis_fixtures import STORES, Kind, kind_of
from tests.support.opened import Opened
from tests.support.records import OFFSETS, an_order
from tests.support.waiting import until_async


@pytest.fixture(params=[*STORES, "redis"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request)


@pytest.fixture
async def store(kind: Kind) -> AsyncIterator[Opened]:
    opened = await kind.connect(kind.service)
    yield opened
    await opened.close()


async def _outbox(store: Opened, *keys: str) -> list[str]:
    """Keys of pending rows, in their order, of these orders only."""
    await until_async(store.lead, 20, "the lead")
    rows = await store.pending(100_000)
    return [row.key for _, row in rows if row.key in keys and ".dead-" not in row.topic]


def _later(message: Message) -> Message:
    """The same event at a later offset: a repeat of the publish."""
    assert message.record is not None
    return replace(message, record=replace(message.record, offset=next(OFFSETS)))


async def test_a_message_that_comes_again_changes_nothing(kind: Kind, store: Opened) -> None:
    order = an_order()
    message = kind.first(order)
    first, second = await store.handle([message, _later(message)])
    assert isinstance(first, Decided)
    assert second == Duplicate()
    assert await store.handle([_later(message)]) == [Duplicate()]
    assert await _outbox(store, order.order_id) == [order.order_id]


async def test_a_row_leaves_the_outbox_only_when_acknowledged(kind: Kind, store: Opened) -> None:
    order = an_order()
    await store.handle([kind.first(order)])
    assert await _outbox(store, order.order_id) == [order.order_id]
    rows = await store.pending(100_000)
    await store.acknowledge([id_ for id_, row in rows if row.key == order.order_id])
    assert await _outbox(store, order.order_id) == []


async def _published(store: Opened, *keys: str) -> list[str]:
    return [row.key async for rows in store.kept() for row in rows if row.key in keys]


async def test_what_was_acknowledged_is_kept_for_a_time_in_its_order(
    kind: Kind, store: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [an_order() for _ in range(20)]
    keys = [order.order_id for order in orders]
    await store.handle([kind.first(order) for order in orders])
    assert await _published(store, *keys) == []
    assert await _outbox(store, *keys) == keys
    rows = await store.pending(100_000)
    await store.acknowledge([id_ for id_, row in rows if row.key in keys])
    await store.rotate_partitions()
    assert await store.keeps_any()
    assert await _published(store, *keys) == keys
    kept = {row.key: row async for rows in store.kept() for row in rows}
    assert all(kept[row.key] == row for _, row in rows if row.key in keys)
    monkeypatch.setattr(store.store, "keep_days", 0)
    later = an_order()
    await store.handle([kind.first(later)])
    rows = await store.pending(100_000)
    await store.acknowledge([id_ for id_, row in rows if row.key == later.order_id])
    assert await _outbox(store, later.order_id) == []
    assert await _published(store, later.order_id) == []


async def test_rows_stand_in_the_order_of_decision(kind: Kind, store: Opened) -> None:
    orders = [an_order() for _ in range(50)]
    await store.handle([kind.first(order) for order in orders])
    keys = [order.order_id for order in orders]
    assert await _outbox(store, *keys) == keys


async def test_owners_at_the_same_time_publish_once(kind: Kind) -> None:
    """A paused handler that goes on after a rebalance meets the new owner's work."""
    stores = [await kind.connect(kind.service) for _ in range(3)]
    orders = [an_order() for _ in range(40)]
    batch = [kind.first(order) for order in orders]

    async def handle(store: Opened) -> None:
        while True:
            try:
                await store.handle(batch)
            except TransientError:
                continue
            return

    await asyncio.gather(*(handle(store) for store in stores))
    keys = [order.order_id for order in orders]
    assert sorted(await _outbox(stores[0], *keys)) == sorted(keys)
    for store in stores:
        await store.close()


async def test_a_failing_message_holds_up_its_key_alone_and_is_redriven_in_order(
    kind: Kind,
) -> None:
    """Parked with the later messages of its key, across a restart; the repair lets all go on."""
    poisoned, good = an_order(), [an_order() for _ in range(100)]
    broken = await kind.connect(kind.failing_on(poisoned.order_id))
    first = kind.first(poisoned)
    outcomes = await broken.handle([first, *(kind.first(order) for order in good)])
    assert isinstance(outcomes[0], Parked)
    assert "ZeroDivisionError" in outcomes[0].reason
    assert all(isinstance(outcome, Decided) for outcome in outcomes[1:])
    await broken.close()

    repaired = await kind.connect(kind.service)
    other = replace(_later(first), id=kind.first(an_order()).id)
    assert await repaired.handle([other]) == [Parked("waits behind a parked message of its key")]
    operations = repaired.inspection
    assert poisoned.order_id in await operations.parked_keys()
    assert await _outbox(repaired, poisoned.order_id) == []
    redriven = await repaired.redrive(poisoned.order_id, "test")
    assert [type(r.outcome) for r in redriven] == [Decided, Decided]
    assert await _outbox(repaired, poisoned.order_id) == [poisoned.order_id]
    assert poisoned.order_id not in await operations.parked_keys()
    await repaired.close()


async def test_bytes_that_are_no_event_are_kept_under_their_key(kind: Kind, store: Opened) -> None:
    good, bad = an_order(), an_order()
    message = kind.first(good)
    assert message.record is not None
    record = Record(
        message.record.topic,
        11,
        message.record.offset,
        bad.order_id.encode(),
        b"\x00\xff not JSON",
        (("ce_type", b"\x00\xfe"),),
    )
    outcomes = await store.handle([message, unreadable(record, "malformed: \0 no type")])
    assert isinstance(outcomes[0], Decided)
    operations = store.inspection
    assert bad.order_id in await operations.parked_keys()
    await until_async(store.lead, 20, "the lead")
    letters = [row for _, row in await store.pending(100_000) if row.key == bad.order_id]
    assert [(row.topic, row.value) for row in letters] == [
        (f"{kind.service.name}.dead-letters", b"\x00\xff not JSON")
    ]
    assert ("ce_type", b"\x00\xfe") in letters[0].headers
    redriven = await store.redrive(bad.order_id, "test")
    assert [type(r.outcome) for r in redriven] == [Parked]
    assert bad.order_id in await operations.parked_keys()


async def test_bytes_that_come_again_are_kept_once(kind: Kind, store: Opened) -> None:
    message = kind.first(an_order())
    assert message.record is not None
    record = replace(message.record, value=b"{")
    for why in ("first", "again"):
        await store.handle([unreadable(record, why)])
    letters = await store.inspection.dead_letters(message.key)
    assert [letter.first_reason for letter in letters] == ["first"]


async def test_one_leads_until_it_resigns(kind: Kind) -> None:
    first, second = await kind.connect(kind.service), await kind.connect(kind.service)
    await until_async(first.lead, 20, "the lead")
    assert not await second.lead()
    assert await first.lead()
    await first.resign()
    await until_async(second.lead, 5, "the lead")
    await first.close()
    await second.close()
