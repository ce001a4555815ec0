"""What the chassis relies on in records, offsets and batches, of the real Kafka and of ours alike."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalOperation,
    IllegalStateError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    UnknownError,
    UnknownTopicOrPartitionError,
)

from chassis.kafka import Cluster
from chassis.kafka import clients as kafka
from tests.integration.kafka_fixtures import (
    a_client,
    a_name,
    a_producer,
    a_topic,
    cluster,
    reader,
    send,
    started,
    take,
)

__all__ = ["cluster"]
TOO_LARGE = b"x" * 2_000_000


def a_batch(producer: Any, *values: bytes) -> Any:
    batch = producer.create_batch()
    for value in values:
        assert batch.append(key=b"k", value=value, timestamp=None, headers=[]) is not None
    batch.close()
    return batch


async def test_a_batch_is_read_as_it_was_sent(cluster: Cluster) -> None:
    topic = await a_topic(cluster)
    headers = [("kind", b"a"), ("empty", b""), ("none", None)]
    async with started(kafka.make_producer(cluster, "relay")) as producer:
        batch = producer.create_batch()
        batch.append(key=b"key", value=b"1", timestamp=1_700_000_000_123, headers=headers)
        batch.append(key=None, value=b"2", timestamp=1_700_000_000_124, headers=[])
        batch.close()
        sent = await (await producer.send_batch(batch, topic, partition=0))
        again = await (await producer.send_batch(a_batch(producer, b"3"), topic, partition=0))
    assert (sent.topic, sent.partition, sent.offset, again.offset) == (topic, 0, 0, 2)
    assert sent.topic_partition == TopicPartition(topic, 0)
    assert (sent.timestamp, sent.log_start_offset) == (-1, 0)
    async with reader(cluster, topic) as consumer:
        first, second, third = await take(consumer, 3)
    assert (first.topic, first.partition, first.offset) == (topic, 0, 0)
    assert (first.timestamp, first.timestamp_type) == (1_700_000_000_123, 0)
    assert (first.key, first.value, first.checksum) == (b"key", b"1", None)
    assert (first.serialized_key_size, first.serialized_value_size) == (3, 1)
    assert first.headers == (("kind", b"a"), ("empty", b""), ("none", None))
    assert (second.offset, second.key, second.serialized_key_size) == (1, None, -1)
    assert second.headers == ()
    assert (third.offset, third.value) == (2, b"3")


async def test_a_key_has_its_partition(cluster: Cluster) -> None:
    topic = await a_topic(cluster, 12)
    async with started(a_producer(cluster)) as producer:
        sent = [await producer.send_and_wait(topic, b"v", f"order-{n}".encode()) for n in range(6)]
        assert await producer.partitions_for(topic) == set(range(12))
    assert [record.partition for record in sent] == [4, 10, 3, 3, 2, 2]


async def test_headers_are_a_list(cluster: Cluster) -> None:
    async with started(kafka.make_producer(cluster, "relay")) as producer:
        batch = producer.create_batch()
        with pytest.raises(TypeError):
            batch.append(key=b"k", value=b"v", timestamp=None, headers=(("a", b"b"),))
        with pytest.raises(TypeError):
            batch.append(key="k", value=b"v", timestamp=None, headers=[])


async def test_a_batch_that_is_full_takes_no_more(cluster: Cluster) -> None:
    """61 bytes of its own, and 109 for each record, of which 100 are the value."""
    async with started(a_producer(cluster, max_batch_size=1000)) as producer:
        batch = producer.create_batch()
        taken = 0
        while batch.append(key=b"k", value=b"x" * 100, timestamp=1, headers=[]) is not None:
            taken += 1
        assert taken == batch.record_count() == 8
        assert batch.append(key=b"k", value=b"", timestamp=1, headers=[]) is None
        alone = producer.create_batch()
        assert alone.append(key=b"k", value=b"x" * 5000, timestamp=1, headers=[]) is not None


async def test_one_refused_batch_ends_the_partition_for_its_producer(cluster: Cluster) -> None:
    """Its sequence number is used up, and aiokafka never closes the gap; a new producer has none."""
    topic = await a_topic(cluster, 2)
    async with started(kafka.make_producer(cluster, "relay")) as producer:
        await (await producer.send_batch(a_batch(producer, b"1"), topic, partition=0))
        with pytest.raises(MessageSizeTooLargeError):
            await (await producer.send_batch(a_batch(producer, TOO_LARGE), topic, partition=0))
        for _ in range(2):
            with pytest.raises(OutOfOrderSequenceNumber):
                await (await producer.send_batch(a_batch(producer, b"2"), topic, partition=0))
        await (await producer.send_batch(a_batch(producer, b"3"), topic, partition=1))
    async with started(kafka.make_producer(cluster, "relay")) as producer:
        sent = await (await producer.send_batch(a_batch(producer, b"2"), topic, partition=0))
    assert sent.offset == 1


async def test_a_producer_whose_first_batch_is_refused_may_go_on(cluster: Cluster) -> None:
    """The broker knows nothing of it yet, and takes any sequence number as the first."""
    topic = await a_topic(cluster)
    async with started(kafka.make_producer(cluster, "relay")) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await (await producer.send_batch(a_batch(producer, TOO_LARGE), topic, partition=0))
        sent = await (await producer.send_batch(a_batch(producer, b"1"), topic, partition=0))
    assert sent.offset == 0


async def test_a_message_larger_than_a_request_is_not_sent(cluster: Cluster) -> None:
    topic = await a_topic(cluster)
    async with started(a_producer(cluster)) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send(topic, TOO_LARGE)
        with pytest.raises(AssertionError):
            await producer.send(topic, None, None)
        with pytest.raises(AssertionError):
            await producer.send(topic, b"v", partition=1)


async def test_offsets_and_positions(cluster: Cluster) -> None:
    topic = await a_topic(cluster, 2)
    full, empty = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await send(cluster, topic, [b"0", b"1", b"2"])
    async with reader(cluster, topic, 0, 1) as consumer:
        assert consumer.assignment() == {full, empty}
        assert await consumer.beginning_offsets([full, empty]) == {full: 0, empty: 0}
        assert await consumer.end_offsets([full, empty]) == {full: 3, empty: 0}
        assert await consumer.position(full) == 0
        await take(consumer, 3)
        assert await consumer.position(full) == 3
        consumer.seek(full, 1)
        assert await consumer.position(full) == 1
        assert [record.offset for record in await take(consumer, 2)] == [1, 2]
        with pytest.raises(ValueError, match="Offset"):
            consumer.seek(full, -1)
        with pytest.raises(IllegalStateError):
            await consumer.position(TopicPartition(topic, 2))
        with pytest.raises(IllegalStateError):
            consumer.seek(TopicPartition(topic, 2), 0)
        with pytest.raises(IllegalOperation):
            await consumer.commit({full: 1})


async def test_an_instant_is_the_offset_of_the_first_record_from_then_on(cluster: Cluster) -> None:
    topic = await a_topic(cluster, 2)
    full, empty = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await send(cluster, topic, [b"0", b"1", b"2"])
    async with reader(cluster, topic, 0, 1) as consumer:
        times = [record.timestamp for record in await take(consumer, 3)]
        first = await consumer.offsets_for_times({full: times[0], empty: times[0]})
        assert (first[full].offset, first[full].timestamp, first[empty]) == (0, times[0], None)
        assert await consumer.offsets_for_times({full: times[-1] + 1}) == {full: None}


async def test_a_position_past_the_end_begins_again(cluster: Cluster) -> None:
    topic = await a_topic(cluster)
    await send(cluster, topic, [b"0", b"1"])
    async with reader(cluster, topic) as consumer:
        consumer.seek(TopicPartition(topic, 0), 99)
        assert [record.offset for record in await take(consumer, 2)] == [0, 1]


async def test_who_asks_for_the_latest_reads_what_comes(cluster: Cluster) -> None:
    topic = await a_topic(cluster)
    await send(cluster, topic, [b"before"])
    async with reader(cluster, topic, auto_offset_reset="latest") as consumer:
        assert await consumer.position(TopicPartition(topic, 0)) == 1
        await send(cluster, topic, [b"after"])
        assert [record.value for record in await take(consumer, 1)] == [b"after"]


async def test_no_more_than_asked_for_and_none_lost(cluster: Cluster) -> None:
    topic = await a_topic(cluster, 3)
    for number in range(3):
        await send(cluster, topic, [b"%d" % n for n in range(7)], number)
    found: dict[int, list[int]] = {0: [], 1: [], 2: []}
    async with reader(cluster, topic, 0, 1, 2) as consumer:
        for _ in range(40):
            batches = await consumer.getmany(timeout_ms=200, max_records=2)
            assert sum(len(batch) for batch in batches.values()) <= 2
            for place, batch in batches.items():
                found[place.partition] += [record.offset for record in batch]
            if sum(map(len, found.values())) == 21:
                break
        assert await consumer.getmany() == {}
    assert found == {number: list(range(7)) for number in range(3)}


async def test_some_partitions_are_asked_for(cluster: Cluster) -> None:
    topic = await a_topic(cluster, 2)
    for number in range(2):
        await send(cluster, topic, [b"v"], number)
    async with reader(cluster, topic, 0, 1) as consumer:
        second = TopicPartition(topic, 1)
        while not (batches := await consumer.getmany(second, timeout_ms=200)):
            pass
        assert list(batches) == [second]
        assert [record.partition for record in await take(consumer, 1)] == [0]


async def test_a_fetch_has_whole_batches_up_to_its_size(cluster: Cluster) -> None:
    topic = await a_topic(cluster)
    await send(cluster, topic, [b"x" * 600_000] * 3)
    place = TopicPartition(topic, 0)
    async with reader(cluster, topic, max_partition_fetch_bytes=1_300_000) as consumer:
        sizes: list[int] = []
        while sum(sizes) < 3:
            sizes.append(len((await consumer.getmany(timeout_ms=500)).get(place, ())))
    assert [size for size in sizes if size] == [2, 1]
    async with reader(cluster, topic, max_partition_fetch_bytes=1000) as consumer:
        while not (batches := await consumer.getmany(timeout_ms=500)):
            pass
    assert len(batches[place]) == 1


async def test_who_has_stopped_has_stopped(cluster: Cluster) -> None:
    topic = await a_topic(cluster)
    async with reader(cluster, topic) as consumer:
        assert await consumer.getmany(timeout_ms=200) == {}
        await consumer.stop()
        with pytest.raises(ConsumerStoppedError):
            await consumer.getmany()
    async with started(a_producer(cluster)) as producer:
        await producer.partitions_for(topic)
        await producer.stop()
        with pytest.raises(ProducerClosed):
            await producer.send(topic, b"v")


async def test_an_unknown_topic_is_waited_for(cluster: Cluster) -> None:
    name = a_name()
    async with started(a_producer(cluster, request_timeout_ms=500)) as producer:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.partitions_for(name)
        await kafka.ensure_topics(cluster, {name: (2, kafka.KEEP_FOR_EVER)})
        assert await producer.partitions_for(name) == {0, 1}


async def test_of_topics_that_are_not_there_nothing_is_read(cluster: Cluster) -> None:
    await a_topic(cluster)
    async with kafka.reading(cluster, [a_name()]) as log:
        assert log.starts == {}
        assert await log.ahead() == {}


async def test_a_compacted_topic_has_keys_and_tombstones(cluster: Cluster) -> None:
    topic = await a_topic(cluster, compacted=True)
    async with started(a_producer(cluster)) as producer:
        await producer.send_and_wait(topic, b"1", b"k")
        await producer.send_and_wait(topic, None, b"k")
        with pytest.raises(UnknownError):
            await producer.send_and_wait(topic, b"1", None)
    async with reader(cluster, topic) as consumer:
        _, tombstone = await take(consumer, 2)
    assert (tombstone.key, tombstone.value, tombstone.serialized_value_size) == (b"k", None, -1)


async def test_what_an_administrator_is_told(cluster: Cluster) -> None:
    name, unknown = a_name(), a_name()
    admin = a_client("AdminClient", cluster)
    await admin.start()
    try:
        made = [await admin.create_topics([NewTopic(name, 3, 1)]) for _ in range(2)]
        assert [entry[:2] for response in made for entry in response.topic_errors] == [
            (name, 0),
            (name, 36),
        ]
        assert name in await admin.list_topics()
        known, other = await admin.describe_topics([name, unknown])
        assert (known["error_code"], known["topic"]) == (0, name)
        assert sorted(p["partition"] for p in known["partitions"]) == [0, 1, 2]
        assert (other["error_code"], other["topic"], other["partitions"]) == (3, unknown, [])
        assert len((await admin.describe_cluster())["brokers"]) == 1
    finally:
        await admin.close()


async def test_a_log_is_read_to_its_end_and_on(cluster: Cluster) -> None:
    topic = await a_topic(cluster, 2)
    first = TopicPartition(topic, 0)
    await send(cluster, topic, [b"0", b"1", b"2"])
    async with kafka.reading(cluster, [topic, a_name()], {(topic, 0): 1}) as log:
        assert [r.offset async for batch in log.to_end() for r in batch] == [1, 2]
        assert (log.read, log.end, log.reached[first]) == (2, 2, 3)
        await send(cluster, topic, [b"3"])
        await send(cluster, topic, [b"0"], 1)
        found = [r async for batch in log.to_end() for r in batch]
        assert sorted((r.partition, r.offset) for r in found) == [(0, 3), (1, 0)]
        assert (log.read, log.end) == (4, 4)
