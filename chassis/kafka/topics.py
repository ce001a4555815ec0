"""The topics that a service makes: its own, and that of its dead letters; in a move all that it reads."""

from functools import lru_cache
from typing import Final

from aiokafka.partitioner import murmur2

from chassis.events import dead_letters_of
from chassis.kafka.clients import COMPACTED, DEAD_LETTERS, KEEP_FOR_EVER
from chassis.service import Service
from chassis.topic_layout import TopicLayout

PARTITIONS: Final = 6
"""A topic is made with so many; later it may have more. A fetch names each of each topic (adr/0032)."""


def topics_of(service: Service) -> dict[str, tuple[int, dict[str, str]]]:
    """Partitions and settings by name.

    While a system moves from one layout to another, a neighbour may not have made its topics yet.
    """
    names = {*service.own_topics, *service.catalog.lanes_of(service.name)}
    if service.layout is not TopicLayout.LANES:
        names.update(service.topics, service.log_topics)
    made = {
        topic: (PARTITIONS, COMPACTED if topic in service.catalog.compacted else KEEP_FOR_EVER)
        for topic in sorted(names)
    }
    return made | {dead_letters_of(service.name): (1, DEAD_LETTERS)}


def homes_of(key: bytes, partitions: int) -> set[int]:
    """Where a topic that has so many partitions now may keep a key.

    It may have had any smaller number before, but not fewer than it is made with.
    """
    hashed, fewest = hash_of(key), min(PARTITIONS, partitions)
    return {hashed % number for number in range(fewest, partitions + 1)}


@lru_cache(maxsize=10_000)
def hash_of(key: bytes) -> int:
    """Kafka's hash of a key; it is slow in Python, and a saga's key comes again."""
    hashed: int = murmur2(key)
    return hashed & 0x7FFFFFFF


def partition_of(key: bytes, known: tuple[int, ...]) -> int:
    """Where any Kafka client puts a key; `known` are a topic's partitions in their order."""
    return known[hash_of(key) % len(known)]
