"""Tables of personal and card data, each held against its compacted topic.

What is said of a difference names the columns, never the data in them.
"""

from typing import Any, TypeAlias

from chassis.events import MalformedError
from chassis.kafka import check_part
from chassis.postgres import ProjectedTable
from saga_cli.log.reader import parts_of, read_spans
from saga_cli.log.source import LogPartition, LogRecord, Source
from saga_cli.progress import ReadProgress
from saga_cli.verify.live import CHUNK, InPostgres, chunks
from saga_cli.verify.results import Ends, ServiceResult

Values: TypeAlias = tuple[str, ...]
Newest: TypeAlias = dict[str, tuple[int, Values | None]]
"""By key, the offset of the newest record and what it gives."""


async def compare_projected(
    source: Source,
    topic: str,
    table: ProjectedTable,
    live: InPostgres,
    consumed: Ends,
    result: ServiceResult,
    progress: ReadProgress,
) -> None:
    """`consumed` are offsets from before the snapshot: all before them is in the table.

    A row that is erased is as good as none: a tombstone is removed from its topic some day.
    """
    comparison = _Comparison(table, live, result)
    spans = await source.spans([topic])
    parts = parts_of(spans)
    progress(0, sum(span.end - span.start for span in spans.values()))
    for place, span in spans.items():
        newest: Newest = {}
        async for batch in read_spans(source, {place: span}, progress):
            for record in batch:
                comparison.take(record, parts, newest)
        await comparison.compare(newest, place, consumed)
    await comparison.end()


class _Comparison:
    def __init__(self, table: ProjectedTable, live: InPostgres, result: ServiceResult) -> None:
        self.table, self.live, self.result = table, live, result
        self.what = table.table.replace("_", " ")
        self.known: set[str] = set()
        self.select = f"SELECT {table.key}, {', '.join(table.columns)} FROM {table.table}"  # noqa: S608 - own names

    def take(self, record: LogRecord, parts: int, newest: Newest) -> None:
        try:
            check_part(record, parts)
            values = self.table.values_of(record)
        except MalformedError:  # the table keeps what was given before
            self.result.notes.append(f"{record.subject}: its record can't be read")
            return
        newest[record.subject] = (record.offset, values)

    async def compare(self, newest: Newest, place: LogPartition, consumed: Ends) -> None:
        for some in chunks(newest, CHUNK):
            query = f"{self.select} WHERE {self.table.key} = ANY($1)"
            rows = {
                row[0]: _known(tuple(row)[1:])
                for row in await self.live.connection.fetch(query, some)
            }
            self.known |= rows.keys()
            for key, (offset, values) in ((key, newest[key]) for key in some):
                if offset < consumed.get(place, 0):
                    self._compare(key, rows.get(key), values)
                else:
                    self.result.newer += 1

    async def end(self) -> None:
        """Rows of keys that the log does not have."""
        rows = self.live.connection.cursor(self.select, prefetch=CHUNK)
        lost = [row[0] async for row in rows if row[0] not in self.known and any(tuple(row)[1:])]
        for key in sorted(lost):
            self.result.differ(key, f"{self.what} that the log lacks", "a row", "none")

    def _compare(self, key: str, live: Values | None, rebuilt: Values | None) -> None:
        self.result.rows += live is not None
        if live != rebuilt:
            pairs = zip(self.table.columns, live or (), rebuilt or (), strict=False)
            names = [name for name, one, other in pairs if one != other]
            what = f"{self.what} differ" + (f": {', '.join(names)}" if names else "")
            self.result.differ(key, what, *("a row" if row else "none" for row in (live, rebuilt)))


def _known(row: Any) -> Values | None:
    return row if any(row) else None
