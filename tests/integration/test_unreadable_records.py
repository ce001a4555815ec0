"""A real broker takes records that a client can't read: every reader goes on to the next one."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from chassis.kafka import Cluster
from chassis.kafka import clients as kafka
from saga_cli.topology import Addresses
from tests.integration.kafka_fixtures import a_topic, send
from tests.support.batches import batch, produce, record
from tests.support.waiting import patient

CODECS = ("gzip", "snappy", "lz4", "zstd")


async def _read(cluster: Cluster, topic: str) -> list[Any]:
    async with asyncio.timeout(patient(90)), kafka.reading(cluster, [topic]) as log:
        return [record async for records in log.to_end() for record in records]


def test_a_record_of_any_codec_is_read(addresses: Addresses) -> None:
    async def result() -> list[bytes | None]:
        cluster = addresses.kafka
        topic = await a_topic(cluster)
        for codec in CODECS:
            producer = AIOKafkaProducer(**cluster.options(), compression_type=codec)
            await producer.start()
            await producer.send_and_wait(topic, codec.encode() * 500, partition=0)
            await producer.stop()
        return [r.value for r in await _read(cluster, topic)]

    assert asyncio.run(result()) == [codec.encode() * 500 for codec in CODECS]


@pytest.mark.parametrize("name", [b"\xff\xfe", b"\xed\xa0\x80", b"\0"])
def test_a_header_name_of_any_bytes_is_read(addresses: Addresses, name: bytes) -> None:
    async def result() -> list[Any]:
        cluster = addresses.kafka
        topic = await a_topic(cluster)
        await send(cluster, topic, [b"before"])
        bad = record(0, b"one") + record(1, b"two", b"k", ((name, b"v"),))
        await produce(cluster, topic, 0, batch(bad, 2))
        await send(cluster, topic, [b"after"])
        return await _read(cluster, topic)

    found = asyncio.run(result())
    assert [r.value for r in found] == [b"before", b"one", b"two", b"after"]
    assert [value for _, value in found[2].headers] == [b"v"]
