"""What is projected from a compacted topic, held against the topic's newest records.

What is said of a difference names the columns, never the data in them.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from redis.asyncio import Redis

from chassis.events import MalformedError
from chassis.kafka import check_part
from chassis.postgres import ProjectedTable
from chassis.projected import Projected
from chassis.redis import ProjectedHash, keys
from saga_cli.log.reader import parts_of, read_spans
from saga_cli.log.source import LogPartition, LogRecord, Source
from saga_cli.progress import ReadProgress
from saga_cli.verify.live import CHUNK, InPostgres, chunks
from saga_cli.verify.results import Ends, ServiceResult

Values: TypeAlias = tuple[str, ...]
Newest: TypeAlias = dict[str, tuple[int, Values | None]]
"""By key, the offset of the newest record and what it gives."""


class ProjectedRows(Protocol):
    """What is live. A row that is erased is as good as none: a tombstone is removed some day."""

    async def of(self, wanted: Sequence[str]) -> dict[str, Values]:
        """ProjectedRows by key."""

    def all_keys(self) -> AsyncIterator[str]:
        """Of all rows."""


@dataclass(frozen=True, slots=True)
class ProjectedTableRows:
    table: ProjectedTable
    live: InPostgres

    @property
    def _select(self) -> str:
        names = (self.table.key, *self.table.columns)
        return f"SELECT {', '.join(names)} FROM {self.table.name}"  # noqa: S608 - own names

    async def of(self, wanted: Sequence[str]) -> dict[str, Values]:
        query = f"{self._select} WHERE {self.table.key} = ANY($1)"
        rows = await self.live.connection.fetch(query, wanted)
        return {row[0]: tuple(row)[1:] for row in rows if any(tuple(row)[1:])}

    async def all_keys(self) -> AsyncIterator[str]:
        async for row in self.live.connection.cursor(self._select, prefetch=CHUNK):
            if any(tuple(row)[1:]):
                yield row[0]


@dataclass(frozen=True, slots=True)
class ProjectedHashRows:
    projected: ProjectedHash
    redis: Redis

    async def of(self, wanted: Sequence[str]) -> dict[str, Values]:
        found: Any = await self.redis.hmget(self.projected.place, list(wanted))
        pairs = zip(wanted, found, strict=True)
        return {key: (value.decode(),) for key, value in pairs if value is not None}

    async def all_keys(self) -> AsyncIterator[str]:
        found: Any = await self.redis.hkeys(self.projected.place)
        for key in found:
            yield key.decode()

    async def consumed(self) -> Ends:
        """Where its service stands: all before is in the hash, as that is written first."""
        stored: Any = await self.redis.hgetall(self.projected.keys.offsets)
        return {LogPartition(*place): end for place, end in keys.places_of(stored).items()}


async def compare_projected(
    source: Source, topic: str, of: "ProjectedComparison", progress: ReadProgress
) -> None:
    """Raises what reading the log raises."""
    spans = await source.spans([topic])
    parts = parts_of(spans)
    progress(0, sum(span.end - span.start for span in spans.values()))
    for place, span in spans.items():
        newest: Newest = {}
        async for batch in read_spans(source, {place: span}, progress):
            for record in batch:
                of.take(record, parts, newest)
        await of.compare(newest, place)
    await of.end()


@dataclass
class ProjectedComparison:
    """`consumed` are offsets from before the rows were read: all before them is in the rows.

    What is `pending` in the outbox, by key, is in the rows of who publishes it, and not in the log yet.
    """

    projected: Projected
    rows: ProjectedRows
    consumed: Ends
    result: ServiceResult
    pending: frozenset[str] = frozenset()
    known: set[str] = field(default_factory=set)

    @property
    def what(self) -> str:
        return self.projected.name.replace("_", " ")

    def take(self, record: LogRecord, parts: int, newest: Newest) -> None:
        try:
            check_part(record, parts)
            values = self.projected.values_of(record)
        except MalformedError:  # what was given before is kept
            self.result.notes.append(f"{record.subject}: its record can't be read")
            return
        newest[record.subject] = (record.offset, values)

    async def compare(self, newest: Newest, place: LogPartition) -> None:
        for some in chunks(newest, CHUNK):
            rows = await self.rows.of(some)
            self.known |= rows.keys()
            for key, (offset, values) in ((key, newest[key]) for key in some):
                if key not in self.pending and offset < self.consumed.get(place, 0):
                    self._compare(key, rows.get(key), values)
                else:
                    self.result.newer += 1

    async def end(self) -> None:
        """ProjectedRows of keys that the log does not have."""
        known = self.known | self.pending
        for key in sorted([key async for key in self.rows.all_keys() if key not in known]):
            self.result.differ(key, f"{self.what} that the log lacks", "a row", "none")

    def _compare(self, key: str, live: Values | None, rebuilt: Values | None) -> None:
        self.result.rows += live is not None
        if live != rebuilt:
            pairs = zip(self.projected.columns, live or (), rebuilt or (), strict=False)
            names = [name for name, one, other in pairs if one != other]
            what = f"{self.what} differ" + (f": {', '.join(names)}" if names else "")
            self.result.differ(key, what, *("a row" if row else "none" for row in (live, rebuilt)))
