"""What reads the past: the records of each partition by offset, as if they were all in one place."""

import heapq
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from chassis.message import Record


class LogPartition(NamedTuple):
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


class Span(NamedTuple):
    """Offsets `start` <= offset < `end`."""

    start: int
    end: int

    def within(self, start: int, end: int) -> "Span":
        """What of it lies between two offsets; if nothing does, a span without a length."""
        last = min(self.end, end)
        return Span(min(max(self.start, start), last), last)


@dataclass(slots=True)
class LogRecord(Record):
    """A record, and when it was appended, in milliseconds since the epoch."""

    timestamp_ms: int

    @property
    def place(self) -> LogPartition:
        return LogPartition(self.topic, self.partition)


async def merged(
    streams: Iterable[AsyncIterator[list[LogRecord]]],
) -> AsyncIterator[list[LogRecord]]:
    """Batches of streams, always of that whose next record is the oldest."""
    waiting: list[tuple[int, int, list[LogRecord]]] = []
    opened = list(streams)

    async def go_on(number: int) -> None:
        async for batch in opened[number]:
            if batch:
                heapq.heappush(waiting, (batch[0].timestamp_ms, number, batch))
                return

    for number in range(len(opened)):
        await go_on(number)
    while waiting:
        _, number, batch = heapq.heappop(waiting)
        yield batch
        await go_on(number)


class HoleError(Exception):
    """Records that are asked for are kept nowhere any more."""


class UnreadableError(Exception):
    """What is kept can't be read, or is not of the log that it is read with."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A point in time: an instant, or by name of a partition the first offset to leave out.

    Neither is the end of the log.
    """

    instant: datetime | None = None
    offsets: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.instant is not None or bool(self.offsets)


class Source(Protocol):
    """A log to read from its beginning to what is its end now."""

    async def spans(self, topics: Iterable[str]) -> dict[LogPartition, Span]:
        """What there is of each partition, of those of the topics that exist."""

    def read(self, spans: Mapping[LogPartition, Span]) -> AsyncIterator[list[LogRecord]]:
        """Records of spans, in batches of one partition; compaction may have left some out.

        Those of a partition come in order, those of several roughly in the order of time. Raises
        HoleError when a span begins before what is kept.
        """

    async def offsets_at(
        self, instant: datetime, places: Iterable[LogPartition]
    ) -> Mapping[LogPartition, int]:
        """The first offset of each partition that was appended at or after an instant, or its end."""
