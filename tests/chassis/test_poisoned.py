"""Many poisoned keys at once, and records whose origin is wrong, from the batch to a person's redrive."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from chassis import ids
from chassis.handle import Handler
from chassis.kafka.batches import SUSPECTED_MAX, Batches, suspected
from chassis.kafka.records import sort
from chassis.kafka.topics import PARTITIONS, hash_of
from chassis.message import Decided, Outcome, Parked, Record
from chassis.redrive import redrive
from shared_events.order import OrderCancelled
from shipping_svc.service import SERVICE
from simulation.database import Database
from simulation.memory_inspection import MemoryInspection
from simulation.memory_store import MemoryStore
from simulation.memory_unit import MemoryUnit
from tests.support.batches import batch, record
from tests.support.records import a_record, captured

KEYS = 500
STRANGE = "malformed: order.cancelled.v1 does not belong on this topic"
UNREAD = "shipping does not read this event"


@dataclass(eq=False)
class Counting(MemoryStore):
    """Counts the transactions."""

    begun: int = 0

    @asynccontextmanager
    async def begin(self, *, is_retry: bool = False) -> AsyncIterator[MemoryUnit]:
        self.begun += 1
        async with super().begin(is_retry=is_retry) as unit:
            yield unit


def handled(store: MemoryStore, some: Sequence[Record]) -> list[Outcome]:
    async def run() -> list[Outcome]:
        messages = sort(SERVICE, some, lambda _: PARTITIONS, frozenset()).messages
        return await Handler(SERVICE, store).handle(messages)

    return asyncio.run(run())


def redriven(store: MemoryStore, found: Record) -> list[Outcome]:
    async def run() -> list[Outcome]:
        tried = await redrive(
            Handler(SERVICE, store), MemoryInspection(store), found.subject, "eve"
        )
        return [each.outcome for each in tried]

    return asyncio.run(run())


def at_home(found: Record, offset: int) -> Record:
    return replace(found, partition=hash_of(found.key or b"") % PARTITIONS, offset=offset)


def test_five_hundred_poisoned_keys_cost_their_batch_nothing() -> None:
    """They are found before the store is asked: no batch is halved, and good records in it are decided."""
    some = [at_home(a_record(captured()), n) for n in range(KEYS + 20)]
    read = [replace(r, value=b"{") if n < KEYS else r for n, r in enumerate(some)]
    store = Counting(SERVICE, Database())
    outcomes = handled(store, read)
    assert [type(outcome) for outcome in outcomes] == [Parked] * KEYS + [Decided] * 20
    assert store.begun == 1
    again = handled(store, read)
    assert not any(isinstance(outcome, Parked | Decided) for outcome in again)
    assert (store.begun, len(store.database.parked)) == (2, KEYS)


def test_batches_that_look_damaged_are_remembered_within_a_limit() -> None:
    for n in range(2 * SUSPECTED_MAX):
        damaged = batch(record(0, b"%d" % n), 1, crc=n, base_offset=n)
        assert Batches(damaged).next_batch() is None
    assert len(suspected) <= SUSPECTED_MAX


def test_a_record_that_the_service_does_not_read_is_decided_on_by_nobody() -> None:
    """It is parked for where it stands; a redrive says why not, and a person discards it."""
    order = at_home(a_record(OrderCancelled(order_id=ids.new_id(), reason="a", refused_by="b")), 0)
    strange = replace(order, topic="payment.forward")
    astray = replace(order, partition=(order.partition + 1) % PARTITIONS)
    for found, why, then in (
        (strange, STRANGE, STRANGE),
        (astray, "malformed: its key belongs in another partition", UNREAD),
    ):
        store = MemoryStore(SERVICE, Database())
        assert handled(store, [found]) == [Parked(why)]
        assert redriven(store, found) == [Parked(then)]


def test_a_record_in_another_partition_is_decided_on_when_a_person_says_so() -> None:
    good = at_home(a_record(captured()), 0)
    astray = replace(good, partition=(good.partition + 1) % PARTITIONS)
    store = MemoryStore(SERVICE, Database())
    (outcome,) = handled(store, [astray])
    assert outcome == Parked("malformed: its key belongs in another partition")
    (decided,) = redriven(store, astray)
    assert isinstance(decided, Decided)
    assert store.database.parked == {}
