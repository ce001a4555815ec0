"""Kafka's record batches made by hand, with all that a producer may write into them."""

from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c, encode_varint

from chassis.kafka import Cluster
from chassis.kafka.batches import HEADER, LENGTHS, MAGIC

BatchHeaders = Sequence[tuple[bytes, bytes | None]]
CRC_FROM = 21
"""The checksum is over all from the attributes on."""


def varint(number: int) -> bytes:
    found = bytearray()
    encode_varint(number, found.append)
    return bytes(found)


def _text(raw: bytes | None) -> bytes:
    return varint(-1) if raw is None else varint(len(raw)) + raw


def record(
    offset_delta: int, value: bytes | None, key: bytes | None = None, headers: BatchHeaders = ()
) -> bytes:
    """One record of a batch, with its length."""
    body = b"\0" + varint(0) + varint(offset_delta) + _text(key) + _text(value)
    body += varint(len(headers)) + b"".join(_text(name) + _text(raw) for name, raw in headers)
    return varint(len(body)) + body


def batch(
    payload: bytes,
    count: int,
    *,
    base_offset: int = 0,
    attributes: int = 0,
    crc: int | None = None,
    magic: int = MAGIC,
) -> bytes:
    """A batch of `count` records; the checksum is right unless it is given."""
    length = HEADER.size - LENGTHS.size + len(payload)
    head = (base_offset, length, 0, magic)
    rest = (attributes, count - 1, 1_000, 1_000, -1, -1, -1, count)
    right = calc_crc32c((HEADER.pack(*head, 0, *rest) + payload)[CRC_FROM:])
    return HEADER.pack(*head, right if crc is None else crc, *rest) + payload


async def produce(cluster: Cluster, topic: str, partition: int, data: bytes) -> None:
    """Append a batch as it is. Raises the broker's error if it refuses it."""
    client: Any = AIOKafkaClient(**cluster.options())
    await client.bootstrap()
    try:
        client.add_topic(topic)
        await client.force_metadata_update()
        leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        request = ProduceRequest(None, -1, 10_000, [(topic, [(partition, data)])])
        answer = await client.send(leader, request)
        code = answer.topics[0][1][0][1]
        if code:
            raise for_code(code)
    finally:
        await client.close()
