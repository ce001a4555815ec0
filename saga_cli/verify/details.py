"""Shipping's table of delivery details, held against its compacted topic.

What is said of a difference names the columns, never the personal data in them.
"""

from typing import Any, Final, TypeAlias

from chassis.events import MalformedError
from chassis.kafka import check_part
from saga_cli.log.reader import parts_of, read_spans
from saga_cli.log.source import Source
from saga_cli.progress import ReadProgress
from saga_cli.verify.live import CHUNK, InPostgres, chunks
from saga_cli.verify.results import Ends, ServiceResult
from shared_events.catalog import DELIVERY_DETAILS
from shared_events.codec import decode_record

COLUMNS: Final = ("name", "street", "city", "email")
Values: TypeAlias = tuple[Any, ...]
TABLE: Final = "delivery_details"
SELECT: Final = f"SELECT order_id, {', '.join(COLUMNS)} FROM {TABLE}"  # noqa: S608 - own names


async def compare_details(
    source: Source, live: InPostgres, consumed: Ends, result: ServiceResult, progress: ReadProgress
) -> None:
    """`consumed` are offsets from before the snapshot: all before them is in the table."""
    known: set[str] = set()
    spans = await source.spans([DELIVERY_DETAILS])
    parts = parts_of(spans)
    progress(0, sum(span.end - span.start for span in spans.values()))
    for place, span in spans.items():
        newest: dict[str, tuple[int, Values | None]] = {}
        async for batch in read_spans(source, {place: span}, progress):
            for record in batch:
                try:
                    check_part(record, parts)
                    given = decode_record(record).event if record.value else None
                except MalformedError:  # the table keeps what was given before
                    result.notes.append(f"{record.subject}: its details can't be read")
                    continue
                row = given and tuple(getattr(given, name) for name in COLUMNS)
                newest[record.subject] = (record.offset, row)
        for some in chunks(newest, CHUNK):
            found = await live.connection.fetch(f"{SELECT} WHERE order_id = ANY($1)", some)
            rows = {row[0]: tuple(row)[1:] for row in found}
            known |= rows.keys()
            for key, (offset, row) in ((key, newest[key]) for key in some):
                if offset < consumed.get(place, 0):
                    _compare(key, rows.get(key), row, result)
                else:
                    result.newer += 1
    query = f"SELECT order_id FROM {TABLE}"  # noqa: S608 - own names
    ids = live.connection.cursor(query, prefetch=CHUNK)
    for key in sorted([row[0] async for row in ids if row[0] not in known]):
        result.differ(key, "delivery details that the log lacks", "a row", "none")


def _compare(key: str, live: Values | None, rebuilt: Values | None, result: ServiceResult) -> None:
    result.rows += live is not None
    if live != rebuilt:
        names = [n for n, a, b in zip(COLUMNS, live or (), rebuilt or (), strict=False) if a != b]
        what = "delivery details differ" + (f": {', '.join(names)}" if names else "")
        result.differ(key, what, *("a row" if row else "none" for row in (live, rebuilt)))
