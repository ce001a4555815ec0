"""The release before runs beside this one on one Redis: each goes on with what the other has written.

It had a script for each message, `release_before/apply.lua`, and compared no standing of a customer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest

from chassis import clock, ids
from chassis.dead_letters import unreadable
from chassis.decide import WAITS, BatchResult, Snapshot, decide_batch
from chassis.message import Decided, Duplicate, Message, OperatorAction, Parked, VersionedState
from chassis.redis import keys
from chassis.service import Service
from chassis.store import DeadLetter
from loyalty_svc.domain import Customer
from loyalty_svc.messages import SetStanding
from loyalty_svc.service import SERVICE
from loyalty_svc.store import AWARDS, KEYS, LAYOUT
from shared_events.order import OrderCancellationRequested
from shared_events.shipping import ShipmentCancellationRefused, ShipmentCreated
from simulation.redis_data import Hash
from tests.simulation.loyalty import Loyalty, VirtualTime, books
from tests.simulation.story import with_a_bug
from tests.support.opened import Opened
from tests.support.records import a_message, an_order

APPLY: Final = (Path(__file__).parent / "release_before" / "apply.lua").read_bytes()
FIELDS: Final = (b"version", b"status", b"detail")


@pytest.fixture
def loyalty(monkeypatch: pytest.MonkeyPatch) -> Loyalty:
    VirtualTime().replace(monkeypatch)
    made = Loyalty()
    made.replace(monkeypatch)
    return made


@dataclass
class Before:
    """The release before, with the same rules."""

    loyalty: Loyalty
    service: Service = SERVICE

    async def handle(self, messages: Sequence[Message]) -> list[bytes]:
        return [self.write(message, self.decided(message)) for message in messages]

    def decided(self, message: Message) -> BatchResult:
        snapshot = Snapshot()
        held = self._hash(LAYOUT.own_key(message.key))
        if b"version" in held:
            snapshot.own[message.key] = AWARDS.row_of(*(held[name] for name in FIELDS))
        state = snapshot.own.get(message.key, VersionedState(self.service.initial, 0)).state
        for name in self.service.shared_keys(state, message.body):
            row = self._hash(LAYOUT.shared_key(name))
            points, suspended, changes = (int(row.get(each.encode(), 0)) for each in _CUSTOMER)
            customer = Customer(points=points, suspended=bool(suspended), changes=changes)
            snapshot.shared[name] = customer
        return decide_batch(self.service, snapshot, [message])

    def write(
        self, message: Message, work: BatchResult, redriven: tuple[bytes, bytes] | None = None
    ) -> bytes:
        key, is_record = message.key, message.record is not None and redriven is None
        row, changed = work.own.get(key), work.changed.get(key)
        parked = [_entry(letter.key, letter.record, letter.reason) for letter in work.letters]
        values = (
            (changed.version, type(changed.state).__name__, AWARDS.values(changed)[2])
            if changed
            else ("", "", "")
        )
        names = sorted(work.changed_shared)
        places = (KEYS.epoch, LAYOUT.own_key(key), KEYS.outbox, KEYS.parked(key), KEYS.parked_keys)
        all_ = (*places, KEYS.actions(key), *map(LAYOUT.shared_key, names))
        words = (
            *(self.loyalty.redis.data.values[KEYS.epoch.encode()], message.id if is_record else ""),
            "" if parked or row is None else row.loaded_version,
            *values,
            parked[0] if parked else "",
            *(redriven or ("", "")),
            len(work.outbox),
            *(value for each in work.outbox for value in keys.row_values(each)),
            *(value for name in names for value in _delta(work, name)),
        )
        command = [APPLY, len(all_), *all_, *words]
        reply: bytes = self.loyalty.redis.execute(b"EVAL", *map(_bytes, command))
        return reply

    def _hash(self, name: str) -> Hash:
        found: Hash = self.loyalty.redis.data.values.get(name.encode(), Hash())
        return found


_CUSTOMER: Final = ("points", "suspended", "changes")


def _delta(work: BatchResult, name: str) -> tuple[Any, ...]:
    old, new = work.read.shared.get(name, Customer()), work.shared[name]
    standing = (int(new.suspended), new.changes) if new.changes != old.changes else ("", "")
    return (new.points - old.points, *standing)


def _entry(key: str, record: Any, reason: str) -> bytes:
    now = clock.now()
    letter = DeadLetter(keys.letter_id(record), key, record, reason, reason, 1, now, now)
    return keys.parked_entry(letter)


def _bytes(word: Any) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()


def _created(order_id: str, offset: int = 1) -> Message:
    return a_message(ShipmentCreated(order=an_order(order_id), shipment_id="S"), offset)


def _cancelled(order_id: str, offset: int = 1) -> Message:
    return a_message(OrderCancellationRequested(order_id=order_id, reason="customer"), offset)


def _standing(*, suspended: bool) -> Message:
    command = SetStanding(customer_id="alice", suspended=suspended)
    id_ = ids.derived_id("standing", str(suspended))
    return Message(id=id_, key="alice", body=command, at=clock.now(), traceparent="")


def _story() -> Iterator[Message]:
    yield _created("o-1", 1)
    yield _cancelled("o-1", 1)
    yield a_message(ShipmentCancellationRefused(order_id="o-1", reason="dispatched"), 2)
    yield _standing(suspended=True)
    yield _cancelled("o-2", 2)
    yield _created("o-3", 3)


def _known(loyalty: Loyalty) -> tuple[Any, Any, Any]:
    """States, marks of records, and what was published."""
    values = loyalty.redis.data.values
    orders = {name: row for name, row in values.items() if name.startswith(b"loyalty:order:o-")}
    marks = {name: {field for field in row if field[:2] == b"m:"} for name, row in orders.items()}
    rows = [keys.row_of(pairs) for pairs in values[b"loyalty:outbox"].values()]
    facts = [(dict(row.headers)["ce_id"], dict(row.headers)["ce_sequence"]) for row in rows]
    return books(loyalty.redis), marks, facts


async def test_orders_that_two_releases_decide_on_in_turns_come_to_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever of the two takes which message; and what comes again is known to both."""
    VirtualTime().replace(monkeypatch)
    messages = list(_story())
    found = []
    for turns in product((False, True), repeat=len(messages)):
        loyalty = Loyalty()
        loyalty.replace(monkeypatch)
        now, before = await loyalty.connect(), Before(loyalty)
        for is_before, message in zip(turns, messages, strict=True):
            await (before if is_before else now).handle([message])
        known = _known(loyalty)
        records = [message for message in messages if message.record is not None]
        assert await now.handle(records) == [Duplicate()] * len(records)
        assert await before.handle(records) == [b"SEEN"] * len(records)
        assert _known(loyalty) == known
        found.append(known)
    assert found == [found[0]] * 2 ** len(messages)
    states, marks, facts = found[0]
    assert states[b"loyalty:customer:alice"] == [10, 1, 1]
    statuses = [row[1] for name, row in sorted(states.items()) if b"order" in name]
    assert statuses == [b"Awarded", b"Noted", b"Rejected"]
    assert len(facts) == 6
    assert [len(each) for each in marks.values()] == [3, 1, 1]


@pytest.mark.parametrize(
    ("between", "status", "alice"),
    [
        pytest.param(_cancelled("o-1"), b"Rejected", None, id="the order"),
        pytest.param(_standing(suspended=True), b"Rejected", [0, 1, 1], id="the standing"),
        pytest.param(_created("o-2"), b"Awarded", [20, 0, 0], id="the points"),
    ],
)
async def test_what_the_release_before_has_written_meanwhile_is_seen(
    loyalty: Loyalty, between: Message, status: bytes, alice: list[int] | None
) -> None:
    now, before = await loyalty.connect(), Before(loyalty)
    trips: list[str] = []

    async def get_in_between(name: str) -> None:
        trips.append(name)
        if len(trips) == 2:
            assert await before.handle([between]) == [b"DONE"]

    loyalty.redis.reply = get_in_between
    assert [type(outcome) for outcome in await now.handle([_created("o-1")])] == [Decided]
    known = books(loyalty.redis)
    assert known[b"loyalty:order:o-1"][1] == status
    assert known.get(b"loyalty:customer:alice") == alice


async def test_the_release_before_sees_what_was_written_meanwhile(loyalty: Loyalty) -> None:
    now, before = await loyalty.connect(), Before(loyalty)
    message = _cancelled("o-1")
    late = before.decided(message)
    await now.handle([_created("o-1")])
    known = _known(loyalty)
    assert before.write(message, late) == b"CONFLICT"
    assert _known(loyalty) == known
    assert before.write(message, before.decided(message)) == b"DONE"
    assert books(loyalty.redis)[b"loyalty:order:o-1"][1] == b"Deducted"


async def _parked_by_the_one_before(loyalty: Loyalty, now: Opened) -> None:
    broken = Before(loyalty, with_a_bug())
    assert await broken.handle([_created("o-1")]) == [b"DONE"]
    assert await now.handle([_cancelled("o-1", 2)]) == [WAITS]


async def _parked_by_this_one(loyalty: Loyalty, _now: Opened) -> None:
    broken = await loyalty.connect(with_a_bug())
    later = _cancelled("o-1", 2)
    assert [type(x) for x in await broken.handle([_created("o-1"), later])] == [Parked, Parked]


@pytest.mark.parametrize("parked", [_parked_by_the_one_before, _parked_by_this_one])
async def test_what_either_has_parked_is_redriven_by_this_one(
    loyalty: Loyalty, parked: Callable[[Loyalty, Opened], Any]
) -> None:
    now = await loyalty.connect()
    await parked(loyalty, now)
    assert await now.inspection.parked_keys() == ["o-1"]
    assert [type(each.outcome) for each in await now.redrive("o-1", "ann")] == [Decided, Decided]
    assert await now.inspection.parked_keys() == []
    assert books(loyalty.redis)[b"loyalty:order:o-1"][1] == b"Deducted"


@pytest.mark.parametrize("parked", [_parked_by_the_one_before, _parked_by_this_one])
async def test_what_either_has_parked_holds_up_and_is_redriven_by_the_one_before(
    loyalty: Loyalty, parked: Callable[[Loyalty, Opened], Any]
) -> None:
    now, before = await loyalty.connect(), Before(loyalty)
    await parked(loyalty, now)
    other = replace(_cancelled("o-1", 3), id=ids.derived_id("another"))
    assert await before.handle([other]) == [b"CONFLICT"]
    for message in (_created("o-1"), _cancelled("o-1", 2)):
        entry = loyalty.redis.data.values[b"loyalty:parked:o-1"][0]
        audit = keys.audit_entry(clock.now(), OperatorAction("bob", "redrive", "o-1", ""))
        assert before.write(message, before.decided(message), (entry, audit)) == b"DONE"
    assert await now.inspection.parked_keys() == []
    assert await now.inspection.dead_letters("o-1") == []
    assert [action.by for _, action in await now.inspection.actions("o-1")] == ["bob", "bob"]
    assert books(loyalty.redis)[b"loyalty:order:o-1"][1] == b"Deducted"
    assert await now.handle([_created("o-1", 4)]) == [Duplicate()]


@pytest.mark.parametrize("first", ["before", "now"])
async def test_bytes_that_either_has_parked_are_not_parked_again(
    loyalty: Loyalty, first: str
) -> None:
    """Their mark is the place of the record, under the key that it has."""
    now, before = await loyalty.connect(), Before(loyalty)
    record = _created("o-1", 5).record
    assert record is not None
    message = unreadable(replace(record, value=b"{"), "malformed")
    assert message.id == ids.derived_id(record.topic, "0", "5")
    if first == "before":
        assert await before.handle([message]) == [b"DONE"]
        assert await now.handle([message]) == [Duplicate()]
    else:
        assert await now.handle([message]) == [Parked("malformed")]
        assert await before.handle([message]) == [b"SEEN"]
    assert len(await now.inspection.dead_letters("o-1")) == 1


async def test_hashes_as_they_were_stored_are_read_and_only_added_to(loyalty: Loyalty) -> None:
    """A customer of points alone, one who was reinstated, and an order with its marks."""
    now = await loyalty.connect()
    values, known = loyalty.redis.data.values, _created("o-1")
    detail = b'{"customer_id":"alice","points":10,"attempt":1}'
    order = {b"version": b"1", b"status": b"Awarded", b"detail": detail}
    values[b"loyalty:order:o-1"] = Hash(order | {f"m:{known.id}".encode(): b"1"})
    values[b"loyalty:customer:alice"] = Hash({b"points": b"10"})
    back = {b"points": b"7", b"suspended": b"0", b"changes": b"2"}
    values[b"loyalty:customer:bob"] = Hash(back)
    assert await now.handle([known]) == [Duplicate()]
    assert values[b"loyalty:order:o-1"] == order | {f"m:{known.id}".encode(): b"1"}
    bobs = ShipmentCreated(order=an_order("o-2", customer_id="bob"), shipment_id="S")
    outcomes = await now.handle([_cancelled("o-1", 2), a_message(bobs, 3), _created("o-3", 4)])
    assert [type(outcome) for outcome in outcomes] == [Decided] * 3
    assert values[b"loyalty:customer:alice"] == {b"points": b"10"}
    assert values[b"loyalty:customer:bob"] == back | {b"points": b"17"}
    assert values[b"loyalty:order:o-1"].items() >= {
        (b"version", b"2"),
        (b"status", b"Deducted"),
        (b"detail", detail),
        (f"m:{known.id}".encode(), b"1"),
    }
    (outcome,) = await now.handle([_standing(suspended=True)])
    assert isinstance(outcome, Decided)
    marked = {b"points": b"10", b"suspended": b"1", b"changes": b"1"}
    assert values[b"loyalty:customer:alice"] == marked
