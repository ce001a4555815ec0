"""The log of one partition: records with offsets, and what is known of its producers."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from aiokafka import ConsumerRecord
from aiokafka.errors import MessageSizeTooLargeError, OutOfOrderSequenceNumber, UnknownError
from aiokafka.structs import OffsetAndTimestamp

RecordHeaders = tuple[tuple[str, bytes | None], ...]
Unsent = tuple[int, bytes | None, bytes | None, RecordHeaders]
"""A record without a place: timestamp, key, value, headers."""

MESSAGE_MAX_BYTES: Final = 1_048_588
REMEMBERED: Final = 5
_offset = attrgetter("offset")


@dataclass(frozen=True, slots=True)
class PartitionBatch:
    """Records that are appended together or not at all; `producer_id` is None without idempotence."""

    records: Sequence[Unsent]
    size: int
    producer_id: int | None = None
    sequence: int = 0


@dataclass
class _Producer:
    next_sequence: int
    recent: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


@dataclass
class Partition:
    topic: str
    number: int
    compacted: bool = False
    start: int = 0
    end: int = 0
    records: list[ConsumerRecord[Any, Any]] = field(default_factory=list)
    _ends: list[int] = field(default_factory=list)
    _sizes: list[int] = field(default_factory=lambda: [0])
    _producers: dict[int, _Producer] = field(default_factory=dict)

    def append(self, batch: PartitionBatch) -> tuple[int, list[ConsumerRecord[Any, Any]]]:
        """The batch's offset, and its records; none when it is here already."""
        if batch.size > MESSAGE_MAX_BYTES:
            raise MessageSizeTooLargeError
        if self.compacted and any(key is None for _, key, _, _ in batch.records):
            raise UnknownError  # error code 87, which aiokafka does not know
        known = self._known(batch)
        if known is not None:
            return known, []
        first = self.end
        topic, number = self.topic, self.number
        appended = [
            ConsumerRecord(
                topic,
                number,
                offset,
                timestamp,
                0,
                key,
                value,
                None,
                -1 if key is None else len(key),
                -1 if value is None else len(value),
                headers,
            )
            for offset, (timestamp, key, value, headers) in enumerate(batch.records, first)
        ]
        self.records += appended
        self.end += len(appended)
        self._ends.append(self.end)
        self._sizes.append(self._sizes[-1] + batch.size)
        return first, appended

    def since(self, at_ms: int) -> OffsetAndTimestamp | None:
        """The first record of an instant or later."""
        later = (r for r in self.records if r.timestamp >= at_ms)
        return next((OffsetAndTimestamp(r.offset, r.timestamp) for r in later), None)

    def _known(self, batch: PartitionBatch) -> int | None:
        """Where a batch is that comes again. One that leaves a gap in the sequence is refused."""
        if batch.producer_id is None:
            return None
        producer = self._producers.get(batch.producer_id)
        if producer is None:  # the broker takes any first sequence number
            producer = self._producers[batch.producer_id] = _Producer(batch.sequence)
        for sequence, offset in producer.recent:
            if sequence == batch.sequence:
                return offset
        if batch.sequence != producer.next_sequence:
            raise OutOfOrderSequenceNumber
        producer.recent.append((batch.sequence, self.end))
        producer.next_sequence += len(batch.records)
        return None

    def fetch_end(self, offset: int, max_bytes: int) -> int:
        """How far a fetch reaches: whole batches up to so many bytes, at least one."""
        batch = bisect_right(self._ends, offset)
        last = bisect_right(self._sizes, self._sizes[batch] + max_bytes) - 1
        return self._ends[max(batch, last - 1)]

    def read(
        self, offset: int, end: int, max_records: int | None
    ) -> tuple[list[ConsumerRecord[Any, Any]], int]:
        """Records from an offset to before an end, and the offset that follows them."""
        first, last = self._index(offset), self._index(end)
        if max_records is None or last - first <= max_records:
            return self.records[first:last], end
        found = self.records[first : first + max_records]
        return found, found[-1].offset + 1

    def compact(self, *, tombstones: bool) -> None:
        """Keep the last record of each key; the newest stays in any case, as the active segment does."""
        if not self.records:
            return
        latest = {record.key: record.offset for record in self.records}
        newest = self.records[-1].offset
        self.records = [
            r
            for r in self.records
            if r.offset == newest
            or (latest[r.key] == r.offset and (tombstones or r.value is not None))
        ]

    def delete_before(self, offset: int) -> None:
        """Let the log begin later, as retention does."""
        self.start = min(max(self.start, offset), self.end)
        del self.records[: self._index(self.start)]

    def _index(self, offset: int) -> int:
        if self.end - self.start == len(self.records):
            return offset - self.start
        return bisect_left(self.records, offset, key=_offset)
