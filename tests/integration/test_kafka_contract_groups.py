"""What the chassis relies on, and must live with, in consumer groups: the real Kafka's and ours."""

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from chassis.kafka import Cluster, unread
from tests.integration.kafka_fixtures import (
    RebalanceCalls,
    a_name,
    a_topic,
    cluster,
    member,
    numbers,
    polled_until,
    send,
    take,
)
from tests.support.waiting import patient

__all__ = ["cluster"]
ALL = frozenset(range(12))
HALVES = [[*range(6)], [*range(6, 12)]]


def are_halves(*consumers: Any) -> bool:
    return sorted(sorted(numbers(c)) for c in consumers) == HALVES


def is_assigned(calls: RebalanceCalls, consumer: Any) -> bool:
    """The listener was called with what the consumer has: it has it a moment before."""
    return calls.calls[-1:] == [("assigned", frozenset(numbers(consumer)))]


async def test_members_share_by_range_and_are_told(cluster: Cluster) -> None:
    topics, group = [await a_topic(cluster, 12) for _ in range(2)], a_name()
    first_calls, second_calls = RebalanceCalls(), RebalanceCalls()
    async with member(cluster, group, topics, first_calls) as first:
        await polled_until(lambda: is_assigned(first_calls, first), first)
        assert first_calls.calls == [("revoked", frozenset()), ("assigned", ALL)]
        async with member(cluster, group, topics, second_calls) as second:
            await polled_until(lambda: are_halves(first, second), first, second)
            await polled_until(lambda: is_assigned(first_calls, first), first, second)
            await polled_until(lambda: is_assigned(second_calls, second), first, second)
            for consumer in (first, second):
                of_each = [
                    {p.partition for p in consumer.assignment() if p.topic == t} for t in topics
                ]
                assert of_each == [numbers(consumer)] * 2
            assert first_calls.calls[2:] == [
                ("revoked", ALL),
                ("assigned", frozenset(numbers(first))),
            ]
            assert second_calls.calls == [
                ("revoked", frozenset()),
                ("assigned", frozenset(numbers(second))),
            ]
        assert len(second_calls.calls) == 2  # a client that stops is told nothing
        await polled_until(lambda: numbers(first) == ALL, first)
        await polled_until(lambda: is_assigned(first_calls, first), first)
        assert first_calls.calls[-1] == ("assigned", ALL)


async def test_the_next_member_goes_on_at_what_was_committed(cluster: Cluster) -> None:
    topic, group = await a_topic(cluster, 2), a_name()
    place, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await send(cluster, topic, [b"0", b"1", b"2", b"3"])
    async with member(cluster, group, [topic]) as consumer:
        assert len(await take(consumer, 4)) == 4
        await consumer.commit({place: 2})
        assert await consumer.committed(place) == 2
        assert await consumer.committed(other) is None
        with pytest.raises(IllegalStateError):
            await consumer.commit({TopicPartition(topic, 2): 1})
    async with member(cluster, group, [topic]) as consumer:
        assert [record.offset for record in await take(consumer, 2)] == [2, 3]
        await consumer.commit()
        assert await consumer.committed(place) == 4
        await consumer.commit({place: 1})
        assert await consumer.committed(place) == 1
    async with member(cluster, a_name(), [topic]) as consumer:
        assert [record.offset for record in await take(consumer, 4)] == [0, 1, 2, 3]


async def test_who_is_no_member_may_ask_what_a_group_has_not_read(cluster: Cluster) -> None:
    topic, other, group = await a_topic(cluster, 2), await a_topic(cluster, 1), a_name()
    await send(cluster, topic, [b"0", b"1", b"2", b"3"])
    assert await unread(cluster, group, [topic, other]) == {topic: 4}
    async with member(cluster, group, [topic]) as consumer:
        await take(consumer, 4)
        await consumer.commit({TopicPartition(topic, 0): 3})
        assert await unread(cluster, group, [topic, other]) == {topic: 1}
        await consumer.commit({TopicPartition(topic, 0): 4})
        assert await unread(cluster, group, [topic, other]) == {}


async def test_what_is_revoked_may_still_be_committed(cluster: Cluster) -> None:
    topic, group = await a_topic(cluster, 12), a_name()
    await send(cluster, topic, [b"0", b"1"])
    listener = RebalanceCalls()
    async with member(cluster, group, [topic], listener) as first:
        await take(first, 2)

        async def commit(what: str) -> None:
            if what == "revoked":
                await first.commit({TopicPartition(topic, 0): 1})

        listener.before = commit
        async with member(cluster, group, [topic]) as second:
            await polled_until(lambda: are_halves(first, second), first, second)
            assert await second.committed(TopicPartition(topic, 0)) == 1


async def test_a_member_that_was_too_late_to_join_can_commit_nothing(cluster: Cluster) -> None:
    topic, group = await a_topic(cluster, 12), a_name()
    listener, held = RebalanceCalls(), asyncio.Event()

    async def hold(what: str) -> None:
        if what == "revoked":
            await held.wait()

    async with member(cluster, group, [topic], listener, rebalance_timeout_ms=1000) as late:
        await polled_until(lambda: numbers(late) == ALL, late)
        listener.before = hold
        async with member(cluster, group, [topic], rebalance_timeout_ms=1000) as other:
            await polled_until(lambda: numbers(other) == ALL, other)
            assert numbers(late) == ALL  # it knows nothing yet
            with pytest.raises(CommitFailedError):
                await late.commit({TopicPartition(topic, 0): 0})
            former = late._coordinator.member_id
            held.set()
            await polled_until(lambda: are_halves(late, other), late, other)
            assert late._coordinator.member_id not in {"", former}


async def test_a_member_that_asks_to_rejoin_is_the_same_one_after_it(cluster: Cluster) -> None:
    topic, group, listener = await a_topic(cluster, 12), a_name(), RebalanceCalls()
    async with member(cluster, group, [topic], listener) as consumer:
        await polled_until(lambda: is_assigned(listener, consumer), consumer)
        former = consumer._coordinator.member_id
        consumer._coordinator.request_rejoin()
        await polled_until(lambda: len(listener.calls) == 4, consumer)
        assert listener.calls[2:] == [("revoked", ALL), ("assigned", ALL)]
        assert consumer._coordinator.member_id == former


async def test_a_rebalance_waits_for_no_handler(cluster: Cluster) -> None:
    """The one member polls nothing; its partitions are taken all the same."""
    topic, group = await a_topic(cluster, 12), a_name()
    listener, revoked = RebalanceCalls(), asyncio.Event()

    async def note(what: str) -> None:
        if what == "revoked":
            revoked.set()

    async with member(cluster, group, [topic], listener) as busy:
        await polled_until(lambda: numbers(busy) == ALL, busy)
        listener.before = note
        async with member(cluster, group, [topic]) as other:
            async with asyncio.timeout(patient(90)):
                await revoked.wait()
            await polled_until(lambda: are_halves(busy, other), other)


async def test_records_come_while_the_assignment_is_still_told(cluster: Cluster) -> None:
    topic, group = await a_topic(cluster), a_name()
    await send(cluster, topic, [b"0"])
    listener, held = RebalanceCalls(), asyncio.Event()

    async def hold(what: str) -> None:
        if what == "assigned":
            await held.wait()

    listener.before = hold
    async with member(cluster, group, [topic], listener) as consumer:
        assert [record.offset for record in await take(consumer, 1)] == [0]
        assert not held.is_set()
        held.set()


async def test_a_listener_may_seek_and_may_fail(cluster: Cluster) -> None:
    topic, group = await a_topic(cluster), a_name()
    await send(cluster, topic, [b"0", b"1", b"2"])
    listener, failed = RebalanceCalls(), asyncio.Event()
    async with member(cluster, group, [topic], listener) as consumer:

        async def seek(what: str) -> None:
            if what == "assigned":
                consumer.seek(TopicPartition(topic, 0), 2)
                failed.set()
                raise ValueError(what)

        listener.before = seek
        async with asyncio.timeout(patient(90)):
            await failed.wait()
        assert [record.offset for record in await take(consumer, 1)] == [2]


async def test_who_does_not_poll_leaves_until_it_does(cluster: Cluster) -> None:
    topic, group = await a_topic(cluster, 12), a_name()
    async with member(cluster, group, [topic], max_poll_interval_ms=1000) as idle:
        await polled_until(lambda: numbers(idle) == ALL, idle)
        async with member(cluster, group, [topic]) as other:
            await polled_until(lambda: are_halves(idle, other), idle, other)
            await polled_until(lambda: numbers(other) == ALL, other)
            await asyncio.gather(
                polled_until(lambda: are_halves(idle, other), idle),
                polled_until(lambda: are_halves(idle, other), other),
            )
