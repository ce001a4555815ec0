"""Whatever reading, projecting or handling one record raises, it is parked and the others go on."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis import isolating
from chassis.batches import UNREADABLE, Batches
from chassis.errors import TransientError
from chassis.message import Done, Message, Outcome, Parked, Record
from shared_events.catalog import BY_TYPE, DELIVERY_DETAILS
from shared_events.payment import PaymentCaptured
from shipping_svc.service import SERVICE
from simulation.database import Database
from simulation.memory_operations import MemoryOperations
from simulation.memory_store import MemoryStore
from tests.support.batches import batch, record
from tests.support.records import a_record, an_order

NOTHING: frozenset[isolating.Place] = frozenset()


def one_partition(_topic: str) -> int:
    return 0


def captured(offset: int = 0) -> Record:
    order = an_order()
    return a_record(PaymentCaptured(order=order, captured_minor=1000, provider_ref="p"), offset)


@dataclass(eq=False)
class Failing(MemoryStore):
    """A store with a bug that some records meet: keys on which it raises, bytes that it can't keep."""

    on: frozenset[str] = frozenset()
    unkept: frozenset[bytes | None] = frozenset()
    error: Exception = field(default_factory=lambda: RecursionError("a bug in the store"))

    async def handle(
        self, messages: Sequence[Message], malformed: Sequence[isolating.Letter] = ()
    ) -> list[Outcome]:
        if self.on & {m.key for m in messages}:
            raise self.error
        if any(r.value in self.unkept for r, _ in malformed):
            raise self.error
        return await super().handle(messages, malformed)

    async def project(self, records: Sequence[Record]) -> None:
        if self.on & {r.subject for r in records}:
            raise self.error
        await super().project(records)

    def letters(self) -> dict[int, Record]:
        return {x.record.offset: x.record for x in self.database.parked.values()}


def handled(store: MemoryStore, records: Sequence[Record]) -> list[Outcome]:
    async def run() -> list[Outcome]:
        read = isolating.read(SERVICE, records, one_partition, await store.skipped())
        read.malformed += await isolating.projected(store.project, read.projected)
        return await isolating.handled(store, read.messages, read.malformed)

    return asyncio.run(run())


def test_what_a_store_fails_on_is_parked_byte_for_byte_and_the_others_are_decided() -> None:
    records = [captured(n) for n in range(9)]
    bad = {3, 7}
    store = Failing(SERVICE, Database(), on=frozenset(records[n].subject for n in bad))
    outcomes = handled(store, records)
    assert {n for n, x in enumerate(outcomes) if isinstance(x, Parked)} == bad
    assert sum(isinstance(x, Done) for x in outcomes) == 7
    assert store.letters() == {n: records[n] for n in bad}


def test_bytes_that_a_store_cannot_keep_leave_their_place() -> None:
    records = [replace(captured(n), value=b"{%d" % n) for n in range(5)]
    store = Failing(SERVICE, Database(), unkept=frozenset({b"{2"}))
    handled(store, records)
    kept = store.letters()
    assert set(kept) == {0, 1, 2, 3, 4}
    assert kept[2] == isolating.place_of(records[2])
    assert kept[3] == records[3]


@pytest.mark.parametrize("error", [TransientError("away"), ConnectionError(), TimeoutError()])
def test_an_outage_parks_nothing(error: Exception) -> None:
    records = [captured(n) for n in range(3)]
    store = Failing(SERVICE, Database(), on=frozenset({records[1].subject}), error=error)
    with pytest.raises(type(error)):
        handled(store, records)
    assert not store.letters()


def test_a_record_that_is_not_projected_is_parked_without_what_it_says() -> None:
    """Personal data, and the error that quotes them, stay in the compacted topic."""
    details = [Record(DELIVERY_DETAILS, 1, n, b"%d" % n, b"Jane Doe", ()) for n in range(5)]
    error = ValueError("it can't hold 'Jane Doe'")
    store = Failing(SERVICE, Database(), on=frozenset({"3"}), error=error)
    handled(store, details)
    assert set(store.database.projected[DELIVERY_DETAILS]) == {"0", "1", "2", "4"}
    assert store.letters() == {3: isolating.place_of(details[3])}
    assert "Jane" not in repr([*store.database.parked.values(), *store.database.outbox.values()])


def test_a_record_that_an_operator_has_skipped_is_parked_and_not_decided() -> None:
    records = [captured(n) for n in range(3)]
    store = MemoryStore(SERVICE, Database())
    skip = MemoryOperations(store).skip("payment.events", 0, 1, "eve", "it kills the process")
    asyncio.run(skip)
    assert len(handled(store, records)) == 2
    (letter,) = store.database.parked.values()
    assert letter.record == records[1]
    assert "operator" in letter.first_reason


def test_a_redelivery_of_what_was_parked_parks_it_once() -> None:
    store = Failing(SERVICE, Database(), on=frozenset({(bad := captured()).subject}))
    for _ in range(2):
        handled(store, [bad])
    assert len(store.database.parked) == 1


TEXTS = st.sampled_from(["", "ce_type", "ce_id", "ce_time", "ce_subject", UNREADABLE]) | st.text()
NAMES = TEXTS.map(lambda name: name.encode("utf-8", "surrogatepass")) | st.binary(max_size=8)
TYPES = st.sampled_from(sorted(BY_TYPE)).map(str.encode)
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
    records = [Record(topic, 0, r.offset, r.key, r.value, tuple(r.headers)) for r in found]
    if not attributes:
        assert len(records) == len(some)
    store = MemoryStore(SERVICE, Database())
    outcomes = handled(store, records)
    read = isolating.read(SERVICE, records, one_partition, NOTHING)
    assert len(outcomes) == len(read.messages)
    parked = {x.record.offset for x in store.database.parked.values()}
    assert {r.offset for r, _ in read.malformed} <= parked
