"""Members whose process dies or is paused, and groups that rebalance, in virtual time."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import CommitFailedError

from chassis.kafka import Cluster
from chassis.kafka import clients as kafka
from simulation.faults import Fault
from simulation.process import Process
from tests.contract.kafka import broken
from tests.contract.kafka.broken import HERE, TOPIC, a_broker, a_member, a_producer
from tests.contract.kafka.virtual import inside, run


def now() -> float:
    return asyncio.get_running_loop().time()


async def keep_polling(consumer: Any) -> None:
    while True:
        await consumer.getmany(timeout_ms=200)


async def two_members() -> tuple[Process, Any, Any]:
    """One of a process of its own, the other of none; each has a partition."""
    process = Process("one")
    with inside(process):
        theirs = await a_member()
        polling = asyncio.create_task(keep_polling(theirs))
    ours = await a_member()
    await broken.polled(ours, lambda: len(ours.assignment()) == len(theirs.assignment()) == 1)
    assert not polling.done()
    return process, theirs, ours


def test_the_partitions_of_a_dead_process_are_free_when_its_session_is_over() -> None:
    async def main() -> None:
        async with a_broker() as (broker, _):
            process, _, ours = await two_members()
            died_at = now()
            process.die()
            await broken.polled(ours, lambda: len(ours.assignment()) == 2)
            assert 6 - 1.5 <= now() - died_at <= 6 + 1.5 + 0.2  # a session, a heartbeat, a poll
            assert len(broker.groups["group"].members) == 1

    run(main)


def test_a_short_pause_is_not_noticed() -> None:
    async def main() -> None:
        async with a_broker() as (broker, _):
            process, _, ours = await two_members()
            generation = broker.groups["group"].generation
            process.pause()
            await asyncio.sleep(4)
            process.go_on()
            await asyncio.sleep(20)
            assert broker.groups["group"].generation == generation
            assert len(ours.assignment()) == 1

    run(main)


def test_who_wakes_after_its_session_can_commit_nothing_and_joins_again() -> None:
    async def main() -> None:
        async with a_broker() as (_, __):
            process, theirs, ours = await two_members()
            process.pause()
            await broken.polled(ours, lambda: len(ours.assignment()) == 2)
            (place,) = theirs.assignment()
            process.go_on()
            with pytest.raises(CommitFailedError):
                await theirs.commit({place: 0})
            await broken.polled(ours, lambda: len(ours.assignment()) == 1)
            await broken.polled(ours, lambda: len(theirs.assignment()) == 1)

    run(main)


def test_a_process_without_a_network_goes_on_with_what_others_have_now() -> None:
    async def main() -> None:
        async with a_broker() as (_, __):
            process, theirs, ours = await two_members()
            before = theirs.assignment()
            process.connect(reachable=False)
            await broken.polled(ours, lambda: len(ours.assignment()) == 2)
            assert theirs.assignment() == before < ours.assignment()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await theirs.commit(dict.fromkeys(before, 0))
            process.connect(reachable=True)
            await broken.polled(ours, lambda: len(ours.assignment()) == 1)
            await broken.polled(ours, lambda: len(theirs.assignment()) == 1)

    run(main)


def test_what_a_dead_process_has_sent_arrives_all_the_same() -> None:
    async def main() -> None:
        async with a_broker() as (broker, faults):
            process = Process("one")
            faults.next("produce", Fault(delay_s=3))
            with inside(process):
                producer = kafka.make_producer(Cluster("simulated"), "relay")
                await producer.start()
                sending = asyncio.create_task(broken.send(producer, b"late"))
                await asyncio.sleep(1)
            process.die()
            await asyncio.sleep(5)
            assert broken.values_of(broker) == [b"late"]
            assert not sending.done()

    run(main)


def test_a_rebalance_can_be_forced() -> None:
    async def main() -> None:
        async with a_broker() as (broker, _):
            _, theirs, ours = await two_members()
            before, generation = ours.assignment(), broker.groups["group"].generation
            broker.group("group").prepare()
            await broken.polled(ours, lambda: broker.groups["group"].generation > generation)
            await asyncio.sleep(1)
            assert broker.groups["group"].generation == generation + 1
            assert ours.assignment() == before
            assert len(theirs.assignment()) == 1

    run(main)


def test_a_client_that_was_dropped_leaves_no_member_behind() -> None:
    """Its stop hangs, as long as the broker does; cut off, it sends no heartbeat either."""

    async def main() -> None:
        async with a_broker() as (broker, _):
            consumer = await a_member()
            await broken.polled(consumer, consumer.assignment)
            broker.suspend()
            before = now()
            await kafka.stop_within(consumer, 3)
            assert now() - before == pytest.approx(3)
            broker.down = True
            broker.down = False
            assert len(broker.groups["group"].members) == 1
            await asyncio.sleep(15)
            assert broker.groups["group"].members == {}

    run(main)


def test_a_broker_that_was_suspended_for_longer_than_a_session_knows_no_member() -> None:
    async def main() -> None:
        async with a_broker() as (broker, _):
            consumer = await a_member()
            await broken.polled(consumer, consumer.assignment)
            broker.suspend()
            await asyncio.sleep(7)
            broker.resume()
            with pytest.raises(CommitFailedError):
                await consumer.commit({HERE: 0})
            generation = broker.groups["group"].generation
            await broken.polled(consumer, lambda: broker.groups["group"].generation > generation)
            await consumer.commit({HERE: 0})

    run(main)


def test_a_log_with_gaps_is_read_to_its_end() -> None:
    async def main() -> None:
        async with a_broker() as (broker, _), a_producer() as producer:
            compacted = "compacted"
            broker.create_topic(compacted, 1, kafka.COMPACTED)
            for key, value in (
                (b"a", b"1"),
                (b"b", b"1"),
                (b"a", None),
                (b"b", b"2"),
                (b"c", b"1"),
            ):
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=[])
                await (await producer.send_batch(batch, compacted, partition=0))
            broker.compact(compacted)
            async with kafka.reading(Cluster("simulated"), [compacted]) as log:
                found = [record.offset async for batch in log.to_end() for record in batch]
            assert found == [2, 3, 4]
            broker.compact(compacted, tombstones=False)
            async with kafka.reading(Cluster("simulated"), [compacted], {(compacted, 0): 1}) as log:
                found = [record.offset async for batch in log.to_end() for record in batch]
            assert found == [3, 4]

    run(main)


def test_a_log_that_has_lost_its_beginning_is_read_from_where_it_begins() -> None:
    async def main() -> None:
        async with a_broker() as (broker, _), a_producer() as producer:
            await broken.send(producer, b"0", b"1", b"2")
            broker.partition(HERE).delete_before(2)
            async with kafka.reading(Cluster("simulated"), [TOPIC]) as log:
                assert log.starts[HERE] == 2
                assert [r.offset async for batch in log.to_end() for r in batch] == [2]
            consumer = await a_member()
            await broken.polled(consumer, consumer.assignment)
            consumer.seek(HERE, 1)
            batches = await consumer.getmany(timeout_ms=200)
            assert [record.offset for record in batches[HERE]] == [2]

    run(main)
