"""What reads the past: the records of each partition by offset, as if they were all in one place."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from chassis.message import Record


class LogPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Span(NamedTuple):
    """Offsets `start` <= offset < `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record, and when it was appended, in milliseconds since the epoch."""

    record: Record
    timestamp_ms: int


class HoleError(Exception):
    """Records that are asked for are kept nowhere any more."""


class UnreadableError(Exception):
    """What is kept can't be read, or is not of the log that it is read with."""


class Source(Protocol):
    """A log to read from its beginning to what is its end now."""

    async def spans(self, topics: Iterable[str]) -> dict[LogPartition, Span]:
        """What there is of each partition, of those of the topics that exist."""

    def read(self, place: LogPartition, span: Span) -> AsyncIterator[list[LogRecord]]:
        """Records of a span in order, in batches; compaction may have left some out.

        Raises HoleError when the span begins before what is kept.
        """

    async def offsets_at(
        self, instant: datetime, places: Iterable[LogPartition]
    ) -> Mapping[LogPartition, int]:
        """The first offset of each partition that was appended at or after an instant, or its end."""
