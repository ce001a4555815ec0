"""Shipping's table of delivery details, held against its compacted topic.

What is said of a difference names the columns, never the personal data in them.
"""

from collections.abc import Mapping
from typing import Any, Final

from chassis.events import MalformedError
from saga_cli.clients import kafka_admin
from saga_cli.log.source import LogPartition, Source
from saga_cli.progress import ReadProgress, no_progress
from saga_cli.verify.live import CHUNK, InPostgres, chunks
from saga_cli.verify.results import Ends, ServiceResult, read
from shared_events.catalog import DELIVERY_DETAILS
from shared_events.codec import decode_record

COLUMNS: Final = ("name", "street", "city", "email")
TABLE: Final = "delivery_details"
SELECT: Final = f"SELECT order_id, {', '.join(COLUMNS)} FROM {TABLE}"  # noqa: S608 - own names


async def committed(bootstrap: str, group: str) -> dict[LogPartition, int]:
    """Up to where a service has read its neighbours' topics, as Kafka knows it."""
    async with kafka_admin(bootstrap) as admin:
        found: Mapping[Any, Any] = await admin.list_consumer_group_offsets(group)
    return {LogPartition(place.topic, place.partition): at.offset for place, at in found.items()}


async def compare_details(
    source: Source,
    live: InPostgres,
    consumed: Ends,
    result: ServiceResult,
    progress: ReadProgress = no_progress,
) -> None:
    """`consumed` are offsets from before the snapshot: all before them is in the table."""
    known: set[str] = set()
    spans = await source.spans([DELIVERY_DETAILS])
    progress(0, sum(span.end - span.start for span in spans.values()))
    for place, span in spans.items():
        newest: dict[str, tuple[int, tuple[Any, ...] | None]] = {}
        async for batch in read(source, place, span, progress):
            for record in (kept.record for kept in batch):
                try:
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
            for key in some:
                offset, row = newest[key]
                _compare(key, rows.get(key), row, result, offset < consumed.get(place, 0))
    query = f"SELECT count(*) FROM {TABLE}"  # noqa: S608 - own names
    if await live.connection.fetchval(query) > len(known):
        ids = await live.connection.fetch(f"SELECT order_id FROM {TABLE}")  # noqa: S608 - own names
        for key in sorted({row[0] for row in ids} - known):
            result.differ(key, "delivery details that the log lacks", "a row", "none")


def _compare(
    key: str,
    live: tuple[Any, ...] | None,
    rebuilt: tuple[Any, ...] | None,
    result: ServiceResult,
    is_read: bool,  # noqa: FBT001 - the cut
) -> None:
    if not is_read:
        result.newer += 1
        return
    result.rows += live is not None
    if live != rebuilt:
        names = [n for n, a, b in zip(COLUMNS, live or (), rebuilt or (), strict=False) if a != b]
        what = (
            f"delivery details differ: {', '.join(names)}" if names else "delivery details differ"
        )
        result.differ(key, what, _presence(live), _presence(rebuilt))


def _presence(row: tuple[Any, ...] | None) -> str:
    return "a row" if row else "none"
