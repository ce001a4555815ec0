"""What operators may ask of every store: one suite on PostgreSQL, Redis and the simulation's memory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic_core import from_json

from chassis.dead_letters import unreadable
from chassis.decision import Decision
from chassis.message import Decided, Message, OperatorAction, Parked, Record
from chassis.redrive import Redriven
from shared_events.values import Order
from tests.integration.chassis_fixtures import STORES, Kind, kind_of
from tests.support.opened import Opened
from tests.support.records import OFFSETS, an_order, message_of
from tests.support.waiting import until_async

WAITS = "waits behind a parked message of its key"
BUG = "ZeroDivisionError: a bug in the rules"
PUBLISHED = {"shipping": ("shipment.booking_requested.v1",), "loyalty": ("points.awarded.v1",)}
TOPIC = {"shipping": "shipping.facts", "loyalty": "loyalty.forward"}
STATE = {"shipping": "Booking", "loyalty": "Awarded"}


@pytest.fixture(params=[*STORES, "redis"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request)


@dataclass
class Parking:
    """An order whose first message met a bug, with two later messages behind it."""

    order: Order
    records: list[Record]
    broken: Opened
    """Of the code that has the bug still."""
    repaired: Opened

    @property
    def key(self) -> str:
        return self.order.order_id

    async def outbox(self) -> list[str]:
        """Topics of the order's pending rows."""
        await until_async(self.repaired.lead, 20, "the lead")
        rows = await self.repaired.pending(100_000)
        return [row.topic for _, row in rows if row.key == self.key]


@pytest.fixture
async def parking(kind: Kind) -> AsyncIterator[Parking]:
    order = an_order()
    broken = await kind.connect(kind.failing_on(order.order_id))
    repaired = await kind.connect(kind.service)
    messages = [_odd(kind.first(order)), _another(kind, order), _another(kind, order)]
    outcomes = await broken.handle(messages)
    assert outcomes == [Parked(BUG), Parked(WAITS), Parked(WAITS)]
    records = [message.record for message in messages if message.record is not None]
    yield Parking(order, records, broken, repaired)
    await broken.close()
    await repaired.close()


def _odd(message: Message) -> Message:
    """With a header that is not ours."""
    assert message.record is not None
    headers = (*message.record.headers, ("odd", b"\x00\x7f\n\xc3\xa9"))
    return replace(message, record=replace(message.record, headers=headers))


def _another(kind: Kind, order: Order) -> Message:
    """A later message of the order, with an id of its own."""
    first = kind.first(order)
    assert first.record is not None
    id_ = kind.first(an_order()).id
    headers = tuple((n, v) for n, v in first.record.headers if n != "ce_id")
    record = replace(
        first.record, offset=next(OFFSETS), headers=(("ce_id", str(id_).encode()), *headers)
    )
    return replace(first, id=id_, record=record)


async def test_a_dead_letter_is_the_original_byte_for_byte(parking: Parking) -> None:
    letters = await parking.repaired.inspection.dead_letters(parking.key)
    assert [letter.record for letter in letters] == parking.records
    assert [(x.first_reason, x.last_reason, x.attempts) for x in letters] == [
        (BUG, BUG, 1),
        (WAITS, WAITS, 1),
        (WAITS, WAITS, 1),
    ]
    assert len({letter.id for letter in letters}) == 3
    assert all(letter.key == parking.key for letter in letters)
    age = datetime.now(UTC) - letters[0].parked_at
    assert timedelta(seconds=-1) < age < timedelta(minutes=1)


async def test_a_redrive_that_fails_counts_and_keeps_the_first_and_the_last_error(
    parking: Parking, kind: Kind
) -> None:
    for attempts in (2, 3):
        done = await parking.broken.redrive(parking.key, "ann")
        assert [redriven.outcome for redriven in done] == [Parked(BUG)]
        first, second, _ = await parking.repaired.inspection.dead_letters(parking.key)
        assert (first.attempts, first.first_reason, first.last_reason) == (attempts, BUG, BUG)
        assert (second.attempts, second.last_reason) == (1, WAITS)
        assert first.last_tried_at > first.parked_at
        assert first.record == parking.records[0]

    def other(*_: object) -> Decision:
        raise ValueError("another bug")

    changed = await kind.connect(replace(kind.service, decide=other))
    await changed.redrive(parking.key, "ann")
    first = (await parking.repaired.inspection.dead_letters(parking.key))[0]
    assert (first.attempts, first.first_reason) == (4, BUG)
    assert first.last_reason == "ValueError: another bug"
    assert await parking.repaired.inspection.actions(parking.key) == []
    await changed.close()


async def test_a_dry_run_says_what_would_be_published_and_changes_nothing(
    parking: Parking, kind: Kind
) -> None:
    letters = await parking.repaired.inspection.dead_letters(parking.key)
    outbox = await parking.outbox()
    done = await parking.repaired.redrive(parking.key, "ann", dry_run=True)
    assert [(r.id, type(r.outcome), r.published) for r in done] == [
        (letters[0].id, Decided, PUBLISHED[kind.service.name]),
        (letters[1].id, Decided, ()),
        (letters[2].id, Decided, ()),
    ]
    failed = await parking.broken.redrive(parking.key, "ann", dry_run=True)
    assert failed == [Redriven(letters[0].id, Parked(BUG))]
    assert await parking.repaired.inspection.dead_letters(parking.key) == letters
    assert await parking.outbox() == outbox
    assert (await parking.repaired.inspection.whereabouts(parking.key)).state == "Absent"
    assert await parking.repaired.inspection.actions(parking.key) == []


async def test_a_redrive_goes_in_order_publishes_removes_and_is_written_down(
    parking: Parking, kind: Kind
) -> None:
    letters = await parking.repaired.inspection.dead_letters(parking.key)
    copies = [f"{kind.service.name}.dead-letters"] * 3
    assert await parking.outbox() == copies
    done = await parking.repaired.redrive(parking.key, "ann", note="repaired")
    assert [r.id for r in done] == [letter.id for letter in letters]
    assert [r.published for r in done] == [PUBLISHED[kind.service.name], (), ()]
    assert await parking.repaired.inspection.dead_letters(parking.key) == []
    assert parking.key not in await parking.repaired.inspection.parked_keys()
    assert await parking.outbox() == [*copies, TOPIC[kind.service.name]]
    actions = [action for _, action in await parking.repaired.inspection.actions(parking.key)]
    assert [(a.by, a.action, a.key, a.note) for a in actions] == [
        ("ann", "redrive", parking.key, "repaired")
    ] * 3
    assert [_original(action) for action in actions] == parking.records
    assert await parking.repaired.redrive(parking.key, "ann") == []
    assert await parking.repaired.handle([_message(parking, 0)]) != []
    assert await parking.outbox() == [*copies, TOPIC[kind.service.name]]


async def test_two_operators_at_the_same_time_publish_once(parking: Parking, kind: Kind) -> None:
    both = (parking.repaired.redrive(parking.key, who) for who in ("ann", "bob"))
    await asyncio.gather(*both, return_exceptions=True)
    await parking.repaired.redrive(parking.key, "ann")
    assert (await parking.outbox()).count(TOPIC[kind.service.name]) == 1
    assert len(await parking.repaired.inspection.actions(parking.key)) == 3


async def test_of_two_who_discard_one_message_one_has_done_it(parking: Parking) -> None:
    first, *rest = await parking.repaired.inspection.dead_letters(parking.key)
    both = (
        parking.repaired.inspection.discard(parking.key, who, "bad", first.id)
        for who in ("ann", "bob")
    )
    assert (await asyncio.gather(*both)).count(None) == 1
    assert await parking.repaired.inspection.dead_letters(parking.key) == rest
    assert len(await parking.repaired.inspection.actions(parking.key)) == 1


@pytest.mark.parametrize("which", [0, 1], ids=["the head", "by id"])
async def test_a_discarded_message_is_kept_in_the_audit_trail(parking: Parking, which: int) -> None:
    letters = await parking.repaired.inspection.dead_letters(parking.key)
    id_ = letters[which].id if which else ""
    discarded = await parking.repaired.inspection.discard(parking.key, "bob", "sent twice", id_)
    assert discarded == letters[which]
    del letters[which]
    assert await parking.repaired.inspection.dead_letters(parking.key) == letters
    (action,) = [action for _, action in await parking.repaired.inspection.actions(parking.key)]
    assert (action.by, action.action, action.note) == ("bob", "discard", "sent twice")
    assert _original(action) == parking.records[which]
    assert (
        await parking.repaired.inspection.discard(parking.key, "bob", "again", discarded.id) is None
    )
    for _ in letters:
        await parking.repaired.inspection.discard(parking.key, "bob", "all of them")
    assert parking.key not in await parking.repaired.inspection.parked_keys()


async def test_whereabouts_tell_the_state_and_what_waits(parking: Parking, kind: Kind) -> None:
    found = await parking.repaired.inspection.whereabouts(parking.key)
    assert (found.state, found.outbox_rows, len(found.parked)) == ("Absent", 3, 3)
    assert 0 <= found.outbox_oldest_s < 60
    await parking.repaired.redrive(parking.key, "ann")
    found = await parking.repaired.inspection.whereabouts(parking.key)
    assert (found.state, found.outbox_rows, found.parked) == (STATE[kind.service.name], 4, ())
    nobody = await parking.repaired.inspection.whereabouts("nobody")
    assert (nobody.state, nobody.outbox_rows, nobody.parked) == ("Absent", 0, ())
    assert nobody.outstanding_effects == ()


async def test_keys_are_told_the_longest_parked_first(kind: Kind) -> None:
    orders = [an_order() for _ in range(3)]
    store = await kind.connect(kind.service)
    for order in orders:
        record = replace(_message_of(kind, order), value=b"{", key=order.order_id.encode())
        await store.handle([unreadable(record, "malformed")])
    mine = {order.order_id for order in orders}
    listed = [key for key in await store.inspection.parked_keys() if key in mine]
    assert listed == [order.order_id for order in orders]
    await store.close()


def _message_of(kind: Kind, order: Order) -> Record:
    record = kind.first(order).record
    assert record is not None
    return record


def _message(parking: Parking, nth: int) -> Message:
    message = message_of(replace(parking.records[nth], offset=next(OFFSETS)))
    assert isinstance(message, Message)
    return message


def _original(action: OperatorAction) -> Record:
    """The record that an audit row keeps."""
    detail = from_json(action.detail)
    topic, partition, offset = detail["record"].rsplit(":", 2)
    headers = tuple((name, value.encode("latin-1")) for name, value in detail["headers"])
    key, value = (detail[part].encode("latin-1") for part in ("key", "value"))
    return Record(topic, int(partition), int(offset), key, value, headers)


async def test_a_record_is_marked_to_be_stepped_over_with_who_and_why(kind: Kind) -> None:
    store = await kind.connect(kind.service)
    place = ("shipping.forward", 3, next(OFFSETS))
    await store.inspection.skip(*place, "eve", "it kills the process")
    assert place in await store.skipped()
    trail = await store.inspection.actions(f"shipping.forward:3:{place[2]}")
    assert [(x.by, x.action, x.note) for _, x in trail] == [("eve", "skip", "it kills the process")]
    await store.close()
