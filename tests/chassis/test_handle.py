"""Whatever reading, projecting or handling one record raises, it is parked and the others go on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis import dead_letters
from chassis.bus import Bus, Committed
from chassis.decide import WAITS, BatchResult, Snapshot
from chassis.errors import TransientError
from chassis.events import dead_letters_of
from chassis.handle import Handler
from chassis.kafka import records
from chassis.kafka.batches import UNREADABLE, Batches
from chassis.message import Decided, Duplicate, Message, Outcome, Parked, Record, Unreadable
from chassis.redrive import redrive
from shared_events.catalog import CATALOG, DELIVERY_DETAILS
from shared_events.order import OrderCancellationRequested, OrderConfirmed
from shared_events.payment import PaymentCaptured
from shared_events.values import Order
from shipping_svc.service import SERVICE
from simulation.database import Database
from simulation.memory_inspection import MemoryInspection
from simulation.memory_store import MemoryStore
from simulation.memory_unit import MemoryUnit
from tests.support.batches import batch, record
from tests.support.records import a_message, a_record, an_order


def one_partition(_topic: str) -> int:
    return 0


def captured(offset: int = 0) -> Record:
    order = an_order()
    return a_record(PaymentCaptured(order=order, captured_minor=1000, provider_ref="p"), offset)


@dataclass(slots=True, eq=False)
class FailingUnit(MemoryUnit):
    failing: Any = None

    async def read(self, messages: Sequence[Message]) -> Snapshot:
        if self.failing.on & {m.key for m in messages}:
            raise self.failing.error
        return await super(FailingUnit, self).read(messages)

    async def commit(self, result: BatchResult) -> None:
        if self.failing.refused & result.own.keys():
            raise self.failing.error
        if any(letter.record.value in self.failing.unkept for letter in result.letters):
            raise self.failing.error
        await super(FailingUnit, self).commit(result)


@dataclass(eq=False)
class Failing(MemoryStore):
    """A store with a bug that some records meet.

    There are keys `on` which it raises when it reads, orders that it has `refused` to write, and bytes that
    it can't keep.
    """

    on: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    unkept: frozenset[bytes | None] = frozenset()
    error: Exception = field(default_factory=lambda: RecursionError("a bug in the store"))

    @asynccontextmanager
    async def begin(self, *, is_retry: bool = False) -> AsyncIterator[MemoryUnit]:
        async with super().begin(is_retry=is_retry) as unit:
            yield FailingUnit(unit.transaction, unit.shared, self)

    async def project(self, records: Sequence[Record]) -> None:
        if self.on & {r.subject for r in records}:
            raise self.error
        await super().project(records)


def letters_of(store: MemoryStore) -> dict[int, Record]:
    """By offset."""
    return {x.record.offset: x.record for x in store.database.parked.values()}


async def messages_of(store: MemoryStore, some: Sequence[Record]) -> list[Message]:
    found = records.sort(SERVICE, some, one_partition, await store.skipped())
    return found.messages + await records.projected(store.project, found.projected)


def handled(store: MemoryStore, some: Sequence[Record]) -> list[Outcome]:
    async def run() -> list[Outcome]:
        return await Handler(SERVICE, store).handle(await messages_of(store, some))

    return asyncio.run(run())


def test_what_a_store_fails_on_is_parked_byte_for_byte_and_the_others_are_decided() -> None:
    some = [captured(n) for n in range(9)]
    bad = {3, 7}
    store = Failing(SERVICE, Database(), on=frozenset(some[n].subject for n in bad))
    outcomes = handled(store, some)
    assert {n for n, x in enumerate(outcomes) if isinstance(x, Parked)} == bad
    assert sum(isinstance(x, Decided) for x in outcomes) == 7
    assert letters_of(store) == {n: some[n] for n in bad}
    assert {x.first_reason for x in store.database.parked.values()} == {
        "RecursionError: a bug in the store"
    }


def test_what_a_store_fails_on_without_a_record_is_answered_and_the_others_are_decided() -> None:
    """Commands and outcomes of effects: whoever brought them gets an answer, and nothing is kept."""
    messages = [replace(a_capture(an_order()), record=None) for _ in range(5)]
    store = Failing(SERVICE, Database(), on=frozenset({messages[3].key}))
    outcomes = asyncio.run(Handler(SERVICE, store).handle(messages))
    assert [type(x) for x in outcomes] == [Decided, Decided, Decided, Parked, Decided]
    assert outcomes[3] == Parked("RecursionError: a bug in the store")
    assert not store.database.parked
    assert messages[3].entry not in store.database.inbox
    assert len(store.database.own) == 4


def test_bytes_that_a_store_cannot_keep_leave_their_place() -> None:
    some = [replace(captured(n), value=b"{%d" % n) for n in range(5)]
    store = Failing(SERVICE, Database(), unkept=frozenset({b"{2"}))
    handled(store, some)
    kept = letters_of(store)
    assert set(kept) == {0, 1, 2, 3, 4}
    assert kept[2] == dead_letters.place_of(some[2])
    assert kept[3] == some[3]
    keys = {x.record.offset: x.key for x in store.database.parked.values()}
    assert (keys[2], keys[3]) == ("payment.forward:0:2", some[3].subject)


def test_a_record_whose_bytes_are_not_kept_says_why_it_was_parked_and_why_they_are_not() -> None:
    store = Failing(SERVICE, Database(), unkept=frozenset({b"{"}))
    handled(store, [replace(captured(), value=b"{")])
    (letter,) = store.database.parked.values()
    assert "malformed: " in letter.first_reason
    assert "its bytes can't be kept: RecursionError: a bug in the store" in letter.first_reason


@pytest.mark.parametrize("value", [b"{", None])
def test_a_record_whose_bytes_are_not_kept_is_recognised_when_it_comes_again(
    value: bytes | None,
) -> None:
    """One that can't be read by its place, another by its id."""
    bad = captured() if value is None else replace(captured(), value=value)
    on = frozenset({bad.subject} if value is None else ())
    store = Failing(SERVICE, Database(), on=on, unkept=frozenset({bad.value}))
    (first,) = handled(store, [bad])
    assert isinstance(first, Parked)
    well = MemoryStore(SERVICE, store.database)
    assert handled(well, [bad]) == [Duplicate()]
    assert letters_of(well) == {0: dead_letters.place_of(bad)}
    assert not store.database.own


@pytest.mark.parametrize("error", [TransientError("away"), ConnectionError(), TimeoutError()])
def test_an_outage_parks_nothing(error: Exception) -> None:
    some = [captured(n) for n in range(3)]
    store = Failing(SERVICE, Database(), on=frozenset({some[1].subject}), error=error)
    with pytest.raises(type(error)):
        handled(store, some)
    assert not store.database.parked
    assert not store.database.own


@pytest.mark.parametrize("error", [TransientError("away"), ConnectionError(), TimeoutError()])
def test_an_outage_while_a_record_is_parked_leaves_it_to_come_again(error: Exception) -> None:
    """Not even its place is kept: it can be handled, or parked, when the store is back."""
    bad = captured()
    store = Failing(SERVICE, Database(), on=frozenset({bad.subject}))

    async def away(statement: str) -> None:
        if statement == "park":
            store.database.statement = None
            raise error

    store.database.statement = away
    with pytest.raises(type(error)):
        handled(store, [bad])
    assert not store.database.parked
    assert not store.database.inbox


def test_a_record_that_is_not_projected_is_parked_without_what_it_says() -> None:
    """Personal data, and the error that quotes them, stay in the compacted topic."""
    details = [Record(DELIVERY_DETAILS, 1, n, b"%d" % n, b"Jane Doe", ()) for n in range(5)]
    error = ValueError("it can't hold 'Jane Doe'")
    store = Failing(SERVICE, Database(), on=frozenset({"3"}), error=error)
    handled(store, details)
    assert set(store.database.projected) == {(DELIVERY_DETAILS, each) for each in "0124"}
    assert letters_of(store) == {3: dead_letters.place_of(details[3])}
    assert "Jane" not in repr([*store.database.parked.values(), *store.database.outbox.values()])


def test_a_record_that_an_operator_has_skipped_is_parked_and_not_decided() -> None:
    some = [captured(n) for n in range(3)]
    store = MemoryStore(SERVICE, Database())
    skip = MemoryInspection(store).skip("payment.forward", 0, 1, "eve", "it kills the process")
    asyncio.run(skip)
    assert [type(x) for x in handled(store, some)] == [Decided, Parked, Decided]
    (letter,) = store.database.parked.values()
    assert letter.record == some[1]
    assert "operator" in letter.first_reason


def test_a_redelivery_of_what_was_parked_parks_it_once() -> None:
    """Also while the store fails on it still, and can't even say that it has it."""
    store = Failing(SERVICE, Database(), on=frozenset({(bad := captured()).subject}))
    assert [type(x) for _ in range(2) for x in handled(store, [bad])] == [Parked, Duplicate]
    assert len(store.database.parked) == 1


def test_what_follows_a_parked_record_of_its_key_waits_behind_it() -> None:
    order = an_order()
    event = PaymentCaptured(order=order, captured_minor=1000, provider_ref="p")
    first, others = a_record(event, 0), [captured(n) for n in (1, 2)]
    later = a_record(OrderConfirmed(order_id=order.order_id), 3)
    store = Failing(SERVICE, Database(), refused=frozenset({first.subject}))
    outcomes = handled(store, [first, *others, later])
    assert [type(x) for x in outcomes] == [Parked, Decided, Decided, Parked]
    assert outcomes[3] == WAITS
    assert letters_of(store) == {0: first, 3: later}


async def test_a_letter_that_the_store_fails_on_once_more_stays_one_letter_with_the_last_reason() -> (
    None
):
    bad = captured()
    store = Failing(SERVICE, Database(), refused=frozenset({bad.subject}))
    handler, letters = Handler(SERVICE, store), MemoryInspection(store)
    await handler.handle(await messages_of(store, [bad]))
    store.error = ValueError("another bug")
    (again,) = await redrive(handler, letters, bad.subject, "eve")
    assert again.outcome == Parked("ValueError: another bug")
    (letter,) = await letters.dead_letters(bad.subject)
    assert (letter.record, letter.attempts) == (bad, 2)
    assert letter.first_reason == "RecursionError: a bug in the store"
    assert letter.last_reason == "ValueError: another bug"
    store.refused = frozenset()
    (done,) = await redrive(handler, letters, bad.subject, "eve")
    assert isinstance(done.outcome, Decided)
    assert not store.database.parked


async def test_a_letter_that_another_discards_while_the_store_fails_on_it_is_no_more() -> None:
    bad = captured()
    store = Failing(SERVICE, Database(), refused=frozenset({bad.subject}))
    handler, letters = Handler(SERVICE, store), MemoryInspection(store)
    await handler.handle(await messages_of(store, [bad]))

    async def meanwhile(statement: str) -> None:
        if statement == "unpark":
            store.database.statement = None
            await letters.discard(bad.subject, "adam", "it is wrong")

    store.database.statement = meanwhile
    assert await redrive(handler, letters, bad.subject, "eve") == []
    assert not store.database.parked


# Conflicts, and what the rest of the process is notified of


def a_capture(order: Order) -> Message:
    return a_message(PaymentCaptured(order=order, captured_minor=1000, provider_ref="p"))


def while_saving(database: Database, other: Handler, *messages: Message) -> None:
    """Between a handler's reading and its first write, another handles messages."""

    async def meanwhile(statement: str) -> None:
        if statement == "save":
            database.statement = None
            await other.handle(messages)

    database.statement = meanwhile


async def test_a_batch_to_which_another_was_faster_is_decided_anew_on_what_it_wrote() -> None:
    database, some = Database(), [a_capture(an_order()) for _ in range(2)]
    first, second = (Handler(SERVICE, MemoryStore(SERVICE, database)) for _ in range(2))
    while_saving(database, second, some[0])
    outcomes = await first.handle(some)
    assert [type(x) for x in outcomes] == [Duplicate, Decided]
    assert len(database.inbox) == len(database.own) == 2
    assert {line.row.key for line in database.outbox.values()} == {m.key for m in some}


async def test_a_commit_is_told_once_as_it_was_decided_at_last() -> None:
    """Not what was decided before another was faster, and written by nobody."""
    database, committed, bus, order = Database(), list[Committed](), Bus(), an_order()
    bus.committed.append(committed.append)
    handler = Handler(SERVICE, MemoryStore(SERVICE, database), bus)
    faster = Handler(SERVICE, MemoryStore(SERVICE, database))
    cancelled = OrderCancellationRequested(order_id=order.order_id, reason="customer")
    while_saving(database, faster, a_message(cancelled))
    outcomes = await handler.handle([message := a_capture(order)])
    ((outcome,), (event,)) = (outcomes, committed)
    assert isinstance(outcome, Decided)
    assert (event.messages, event.result.outcomes) == ([message], [outcome])
    assert event.result.own[order.order_id].state == database.own[order.order_id].state
    rows = {str(id_): line.row for id_, line in database.outbox.items()}
    written = zip(event.result.outbox_ids, event.result.outbox, strict=True)
    assert all(rows[id_] == row for id_, row in written)


async def test_what_was_parked_is_told_as_committed() -> None:
    """Its copy is a row of the outbox, which has to be relayed."""
    store = Failing(SERVICE, Database(), on=frozenset({(bad := captured()).subject}))
    committed, bus = list[Committed](), Bus()
    bus.committed.append(committed.append)
    await Handler(SERVICE, store, bus).handle(await messages_of(store, [bad]))
    (event,) = committed
    assert list(event.result.outbox_ids) == [str(id_) for id_ in store.database.outbox]
    assert [row.topic for row in event.result.outbox] == [dead_letters_of(SERVICE.name)]


@pytest.mark.parametrize("kinds", [frozenset[str](), frozenset({"Book"})])
async def test_effects_that_this_process_runs_itself_have_a_first_lease(
    kinds: frozenset[str],
) -> None:
    database = Database()
    handler = Handler(SERVICE, MemoryStore(SERVICE, database), leased=lambda: kinds)
    await handler.handle([a_capture(an_order())])
    assert {(e.kind, e.tries) for e in database.effects.values()} == {("Book", len(kinds))}


async def test_a_preview_says_what_would_come_of_it_and_changes_nothing() -> None:
    database, committed, bus = Database(), list[Committed](), Bus()
    bus.committed.append(committed.append)
    handler = Handler(SERVICE, MemoryStore(SERVICE, database), bus)
    (outcome,) = await handler.preview([message := a_capture(an_order())])
    assert isinstance(outcome, Decided)
    assert (database.own, database.inbox, database.outbox, committed) == ({}, {}, {}, [])
    (done,) = await handler.handle([message])
    assert isinstance(done, Decided)
    assert done.events == outcome.events


TEXTS = st.sampled_from(["", "ce_type", "ce_id", "ce_time", "ce_subject", UNREADABLE]) | st.text()
NAMES = TEXTS.map(lambda name: name.encode("utf-8", "surrogatepass")) | st.binary(max_size=8)
TYPES = st.sampled_from(sorted(CATALOG.by_type)).map(str.encode)
VALUES = st.none() | st.binary(max_size=20) | TYPES
GOOD = captured()
RECORDS = st.tuples(
    st.none() | st.binary(max_size=20) | st.just(GOOD.key),
    st.none() | st.binary(max_size=60) | st.just(GOOD.value),
    st.lists(st.tuples(NAMES, VALUES), max_size=4)
    | st.just([(name.encode(), raw) for name, raw in GOOD.headers]),
)
TOPICS = st.sampled_from([*SERVICE.topics, DELIVERY_DETAILS])


@settings(deadline=None, max_examples=150)
@given(topic=TOPICS, some=st.lists(RECORDS, min_size=1, max_size=5), attributes=st.integers(0, 7))
def test_any_bytes_on_any_topic_are_handled_or_parked(
    topic: str, some: list[Any], attributes: int
) -> None:
    """From the bytes of a fetch to the store's commit: no error, and nothing but a named outcome."""
    payload = b"".join(record(n, value, key, heads) for n, (key, value, heads) in enumerate(some))
    data = batch(payload, len(some), attributes=attributes)
    place = TopicPartition(topic, 0)
    found = fetcher.PartitionRecords(place, Batches(data), [], 0, None, None, True, 0)  # noqa: FBT003 - aiokafka's
    read = [Record(topic, 0, r.offset, r.key, r.value, tuple(r.headers)) for r in found]
    if not attributes:
        assert len(read) == len(some)
    store = MemoryStore(SERVICE, Database())
    outcomes = handled(store, read)
    messages = records.sort(SERVICE, read, one_partition, frozenset()).messages
    assert len(outcomes) == len(messages)
    parked = {x.record.offset for x in store.database.parked.values()}
    unreadable = {
        message.record.offset
        for message in messages
        if message.record and isinstance(message.body, Unreadable)
    }
    assert unreadable <= parked
