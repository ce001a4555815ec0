"""What the archive says of the business, by DuckDB. deploy/spark/report.py says the same by Spark."""

from typing import Any, Final

import duckdb
from fsspec.implementations.local import LocalFileSystem
from rich.table import Table

from chassis.events import name_of
from guarantees.protocol import FUNNEL
from saga_cli.archive.files import Archive
from saga_cli.clients import in_one_line
from saga_cli.log.reader import TOPICS
from saga_cli.log.source import UnreadableError
from saga_cli.terminal import add_plain, console, print_json, table_of

STEPS: Final = tuple(map(name_of, FUNNEL))
_HEADER: Final = "try(decode(list_filter(headers, lambda h: h.name = '{}')[1].value))"
_EVENTS: Final = f"""
CREATE TABLE events AS
WITH raw AS (
    SELECT regexp_replace({_HEADER.format("ce_type")}, '\\.v\\d+$', '') AS type,
           {_HEADER.format("ce_subject")} AS subject,
           {_HEADER.format("ce_source")} AS source,
           try_cast({_HEADER.format("ce_time")} AS TIMESTAMP) AS moment,
           try_cast(try(decode(value)) AS JSON) AS data,
           '/' || split_part(topic, '.', 1) AS owner
    FROM read_parquet($files, hive_partitioning = false)
)
SELECT DISTINCT type, subject, moment,
       data->>'$.reason' AS reason,
       data->>'$.refused_by' AS refused_by,
       coalesce(data->>'$.currency', data->>'$.order.currency') AS currency,
       try_cast(data->>'$.captured_minor' AS BIGINT) AS captured_minor,
       try_cast(data->>'$.refunded_minor' AS BIGINT) AS refunded_minor,
       try_cast(data->>'$.fee_minor' AS BIGINT) AS fee_minor
FROM raw
WHERE source = owner AND moment IS NOT NULL
  AND type IN (SELECT unnest($steps) UNION ALL SELECT 'payment.refunded')
"""  # noqa: S608 - own names
"""An event that is there twice, under whatever id, counts once; what others left in a topic is none."""
_FIRST: Final = """
CREATE TABLE first AS
WITH first AS (SELECT subject, type, min(moment) AS moment FROM events GROUP BY ALL)
SELECT placed.moment::DATE::VARCHAR AS day, first.subject, first.type,
       (epoch_us(first.moment) - epoch_us(placed.moment)) / 1000 AS ms
FROM first JOIN first AS placed USING (subject)
WHERE placed.type = 'order.placed'
"""
_QUERIES: Final = {
    "steps": """
        SELECT day, type AS step, count(*) AS orders,
               quantile_cont(ms, 0.5) AS p50_ms, quantile_cont(ms, 0.99) AS p99_ms
        FROM first WHERE list_contains($steps, type) GROUP BY day, type
        ORDER BY day, list_position($steps, type)
    """,
    "reasons": """
        SELECT day, reason, refused_by, count(DISTINCT subject) AS orders
        FROM first JOIN events USING (subject, type)
        WHERE type = 'order.cancelled' GROUP BY ALL ORDER BY day, orders DESC, reason, refused_by
    """,
    "money": """
        WITH moved AS (
            SELECT moment::DATE::VARCHAR AS day, currency,
                   CASE type WHEN 'payment.captured' THEN captured_minor ELSE 0 END AS captured_minor,
                   CASE type WHEN 'payment.refunded' THEN refunded_minor ELSE 0 END AS refunded_minor,
                   CASE type WHEN 'payment.refunded' THEN fee_minor ELSE 0 END AS fee_minor,
                   (type = 'payment.captured')::INT AS captures,
                   (type = 'payment.refunded')::INT AS refunds
            FROM events
            WHERE type IN ('payment.captured', 'payment.refunded') AND captured_minor IS NOT NULL
        )
        SELECT day, currency,
               sum(captures)::BIGINT AS captures, sum(captured_minor)::HUGEINT AS captured_minor,
               sum(refunds)::BIGINT AS refunds, sum(refunded_minor)::HUGEINT AS refunded_minor,
               sum(fee_minor)::HUGEINT AS fee_minor,
               sum(captured_minor - refunded_minor)::HUGEINT AS revenue_minor
        FROM moved GROUP BY ALL ORDER BY day, currency
    """,
}
FigureRows = dict[str, list[dict[str, Any]]]


def report(url: str, *, as_json: bool) -> None:
    with in_one_line():
        found = figures(Archive.at(url))
    if as_json:
        print_json(found)
        return
    for title, rows in found.items():
        if rows:
            console.print(_table(title, rows))


def figures(archive: Archive) -> FigureRows:
    """Steps and reasons by the day on which an order was placed, money by the day it moved."""
    paths = [piece.path for pieces in archive.pieces(TOPICS).values() for piece in pieces]
    if not paths:
        raise UnreadableError(f"there is no archive at {archive.url!r}")
    offline = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    with duckdb.connect(config={**offline}) as database:
        if not isinstance(archive.files, LocalFileSystem):
            database.register_filesystem(archive.files)
            paths = [archive.files.unstrip_protocol(path) for path in paths]
        try:
            database.execute(_EVENTS, {"files": paths, "steps": list(STEPS)})
            database.execute(_FIRST)
            return {name: _rows(database, query) for name, query in _QUERIES.items()}
        except duckdb.Error as error:
            raise UnreadableError(" ".join(str(error).split())) from error


def _rows(database: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    result = database.execute(query, {"steps": list(STEPS)} if "$steps" in query else None)
    names = [column[0] for column in result.description]
    rows = ((round(v, 3) if isinstance(v, float) else v for v in row) for row in result.fetchall())
    return [dict(zip(names, row, strict=True)) for row in rows]


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    names = {name: name.replace("_", " ") for name in rows[0]}
    numbers = {names[name] for name, value in rows[0].items() if not isinstance(value, str)}
    shown = table_of(*names.values(), right=numbers)
    shown.title, shown.title_justify = title, "left"
    for row in rows:
        add_plain(shown, *("" if value is None else f"{value}" for value in row.values()))
    return shown
