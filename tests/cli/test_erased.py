"""Whether a topic holds something still of what was erased: each partition of it counts by itself."""

import asyncio
from typing import Final

from chassis.message import Record
from saga_cli.erasure.erasing import Subject
from saga_cli.erasure.proving import Place, in_topic
from shared_events.catalog import CUSTOMERS
from tests.cli.memory_log import MemoryLog

KEY: Final = "p-1"
SUBJECT: Final = Subject("alice", (KEY,), ())


def looked(*records: tuple[int, bytes | None]) -> Place:
    log = MemoryLog()
    for partition, value in records:
        log.append(Record(CUSTOMERS, partition, 0, KEY.encode(), value, ()))
    return asyncio.run(in_topic(log, CUSTOMERS, SUBJECT))


def test_a_tombstone_covers_what_is_before_it() -> None:
    assert looked((0, b"alice"), (0, None)) == Place(f"topic {CUSTOMERS}", 0, 1)
    assert looked((0, None), (0, b"alice")) == Place(f"topic {CUSTOMERS}", 1, 0)


def test_a_tombstone_in_another_partition_covers_nothing() -> None:
    """As Kafka compacts a partition by itself: its topic was given more of them."""
    for records in (((0, b"alice"), (3, None)), ((3, None), (0, b"alice"))):
        assert looked(*records) == Place(f"topic {CUSTOMERS}", 1, 0)
