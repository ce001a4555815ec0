"""Several partitions read as one: which belong together, and in which order their records come."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Final

import pytest

from chassis.kafka import PARTITIONS, partition_of
from chassis.message import Record
from saga_cli.archive.archived import ArchivedLog
from saga_cli.archive.copying import Copier
from saga_cli.log.reader import by_number
from saga_cli.log.source import (
    HoleError,
    LogPartition,
    LogRecord,
    Source,
    Span,
    merged,
)
from tests.cli.memory_log import NOON, MemoryLog, an_archive

FORWARD: Final = "payment.forward"
FACTS: Final = "payment.facts"
LANES: Final = tuple(LogPartition(topic, n) for topic in (FORWARD, FACTS) for n in (0, 1))


def spans_of(**partitions: int) -> dict[LogPartition, Span]:
    """By lane so many partitions, each with ten records."""
    names = {f"payment.{lane}": count for lane, count in partitions.items()}
    return {LogPartition(t, n): Span(0, 10) for t, count in names.items() for n in range(count)}


def test_partitions_of_one_number_are_a_part_where_topics_have_as_many() -> None:
    spans = spans_of(forward=6, facts=6)
    parts = by_number(spans)
    assert [{place.partition for place in part} for part in parts] == [{n} for n in range(6)]
    assert all({place.topic for place in part} == {FORWARD, FACTS} for part in parts)
    assert {place: span for part in parts for place, span in part.items()} == spans


@pytest.mark.parametrize(
    ("numbers", "parts"),
    [((6, 6), 6), ((12, 6), 6), ((12, 12), 6), ((6, 3), 3), ((6, 8), 2), ((6, 7), 1), ((6, 1), 1)],
)
def test_a_part_holds_all_of_a_key_whatever_numbers_topics_have(
    numbers: tuple[int, int], parts: int
) -> None:
    """Also of a topic that had fewer before."""
    forward, facts = numbers
    found = by_number(spans_of(forward=forward, facts=facts))
    assert len(found) == parts
    for key in (b"order %d" % n for n in range(100)):
        at = [(FORWARD, forward), (FACTS, facts), (FORWARD, PARTITIONS), (FACTS, PARTITIONS)]
        homes = {LogPartition(t, partition_of(key, tuple(range(n)))) for t, n in at}
        there = homes & {place for part in found for place in part}
        assert sum(not there.isdisjoint(part) for part in found) == 1


def test_nothing_is_no_part() -> None:
    assert by_number({}) == []


def a_record(topic: str, offset: int, second: int, partition: int = 0) -> LogRecord:
    return LogRecord(topic, partition, offset, b"key", b"{}", (), second * 1000)


async def stream(*batches: list[LogRecord]) -> AsyncIterator[list[LogRecord]]:
    for batch in batches:
        yield batch


def merge(*streams: AsyncIterator[list[LogRecord]]) -> list[list[LogRecord]]:
    async def read() -> list[list[LogRecord]]:
        return [batch async for batch in merged(streams)]

    return asyncio.run(read())


def test_the_batch_whose_first_record_is_the_oldest_comes_first() -> None:
    a, b, c = (a_record(FORWARD, n, second) for n, second in enumerate((1, 5, 9)))
    x, y = (a_record(FACTS, n, second) for n, second in enumerate((2, 7)))
    assert merge(stream([a], [b, c]), stream([x], [y])) == [[a], [x], [b, c], [y]]


def test_a_partitions_own_order_stays_whatever_its_times() -> None:
    late, early = a_record(FORWARD, 0, 9), a_record(FORWARD, 1, 1)
    other = a_record(FACTS, 0, 5)
    assert merge(stream([late], [early]), stream([other])) == [[other], [late], [early]]


def test_batches_and_streams_without_a_record_end_nothing() -> None:
    a, b = a_record(FORWARD, 0, 1), a_record(FORWARD, 1, 2)
    assert merge(stream([], [a], [], [b], []), stream(), stream([])) == [[a], [b]]
    assert merge() == []


@pytest.fixture
def log() -> MemoryLog:
    """Two lanes of two partitions, written by turns: a record of forward, then two facts."""
    made = MemoryLog({place: [] for place in LANES})
    for n in range(12):
        for topic, at in ((FORWARD, 0), (FACTS, 1), (FACTS, 2)):
            record = Record(topic, n % 2, 0, b"key", b"%d" % n, ())
            made.append(record, NOON + timedelta(seconds=3 * n + at))
    return made


def read(source: Source, spans: Mapping[LogPartition, Span]) -> list[LogRecord]:
    async def found() -> list[LogRecord]:
        return [kept async for batch in source.read(spans) for kept in batch]

    return asyncio.run(found())


def by_place(found: Iterable[LogRecord]) -> dict[LogPartition, list[LogRecord]]:
    parts: dict[LogPartition, list[LogRecord]] = {}
    for kept in found:
        parts.setdefault(kept.place, []).append(kept)
    return parts


def copied(log: MemoryLog) -> ArchivedLog:
    """Of each partition the first records are in pieces of two, and the last two in Kafka alone."""
    complete = {place: kept[:-2] for place, kept in log.kept.items()}
    archive = an_archive()
    copier = Copier(MemoryLog(complete), archive, topics=(FORWARD, FACTS), limit=2)
    asyncio.run(copier.to_end())
    return ArchivedLog(archive, log)


def test_each_partition_is_read_completely_and_in_order(log: MemoryLog) -> None:
    spans = {place: Span(0, len(kept)) for place, kept in log.kept.items()}
    assert by_place(read(log, spans)) == log.kept
    assert by_place(read(copied(log), spans)) == log.kept
    assert read(copied(log), {}) == []


def test_an_archive_is_read_roughly_in_the_order_of_time(log: MemoryLog) -> None:
    """So that an event and the next one of its key, in another lane, are never far apart."""
    archived = {place: Span(0, len(kept) - 2) for place, kept in log.kept.items()}
    times = [kept.timestamp_ms for kept in read(copied(log), archived)]
    assert len(times) == 28
    assert max(before - after for before, after in pairwise(times)) <= 12_000


def test_parts_of_lanes_are_read_from_where_it_is_asked(log: MemoryLog) -> None:
    spans = {LANES[0]: Span(1, 3), LANES[1]: Span(0, 0), LANES[2]: Span(5, 12)}
    for source in (log, copied(log)):
        found = by_place(read(source, {p: s for p, s in spans.items() if s.start < s.end}))
        assert found == {
            place: log.kept[place][s.start : s.end] for place, s in spans.items() if s.end
        }


def test_a_hole_in_one_lane_is_filled_from_kafka_or_ends_it(log: MemoryLog) -> None:
    joined = copied(log)
    lost = joined.archive.pieces()[LANES[2]][1]
    joined.archive.files.rm(lost.path)
    spans = {place: Span(0, len(kept)) for place, kept in log.kept.items()}
    assert by_place(read(joined, spans)) == log.kept
    log.starts[LANES[2]] = lost.span.end
    with pytest.raises(HoleError, match=r"payment\.facts/0 begins at 4"):
        read(joined, spans)
    others = {place: span for place, span in spans.items() if place != LANES[2]}
    assert by_place(read(joined, others)).keys() == others.keys()


def test_a_lane_that_was_cut_is_read_from_its_archive_beside_one_that_was_not(
    log: MemoryLog,
) -> None:
    joined = copied(log)
    log.starts[LANES[0]] = 4
    spans = {place: Span(0, len(kept)) for place, kept in log.kept.items()}
    assert by_place(read(joined, spans)) == log.kept
