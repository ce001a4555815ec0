"""What `saga report --json` says, by Spark: for archives that one machine does not read in time.

It reads the protocol, so the checkout that it is part of is on the driver's PYTHONPATH:
`PYTHONPATH=. spark-submit deploy/spark/report.py s3a://bucket/log`, or
`PYTHONPATH=. uv run --project deploy/spark python deploy/spark/report.py FOLDER`.
"""

import argparse
import json
import sys
from decimal import Decimal
from typing import Any

from pyspark.sql import SparkSession

from guarantees.protocol import FUNNEL

STEPS = [event.rpartition(".")[0] for event in FUNNEL]
STEP = f"""array_position(array({", ".join(f"'{step}'" for step in STEPS)}), type)"""


def header(name: str) -> str:
    return f"decode(filter(headers, h -> h.name = '{name}')[0].value, 'UTF-8')"


RAW = f"""
SELECT regexp_replace({header("ce_type")}, '[.]v[0-9]+$', '') AS type,
       {header("ce_subject")} AS subject,
       {header("ce_source")} AS source,
       try_to_timestamp({header("ce_time")}) AS moment,
       decode(value, 'UTF-8') AS data,
       concat('/', split(topic, '[.]')[0]) AS owner
FROM archive WHERE topic NOT LIKE '%.dead-letters'
"""  # noqa: S608 - own names
EVENTS = f"""
SELECT DISTINCT type, subject, moment,
       get_json_object(data, '$.reason') AS reason,
       get_json_object(data, '$.refused_by') AS refused_by,
       coalesce(get_json_object(data, '$.currency'), get_json_object(data, '$.order.currency'))
           AS currency,
       try_cast(get_json_object(data, '$.captured_minor') AS DECIMAL(38, 0)) AS captured_minor,
       try_cast(get_json_object(data, '$.refunded_minor') AS DECIMAL(38, 0)) AS refunded_minor,
       try_cast(get_json_object(data, '$.fee_minor') AS DECIMAL(38, 0)) AS fee_minor
FROM raw
WHERE source = owner AND moment IS NOT NULL AND ({STEP} > 0 OR type = 'payment.refunded')
"""  # noqa: S608 - own names
FIRST = """
WITH firsts AS (SELECT subject, type, min(moment) AS moment FROM events GROUP BY subject, type)
SELECT date_format(placed.moment, 'yyyy-MM-dd') AS day, firsts.subject, firsts.type,
       (unix_micros(firsts.moment) - unix_micros(placed.moment)) / 1000 AS ms
FROM firsts JOIN firsts AS placed ON firsts.subject = placed.subject
WHERE placed.type = 'order.placed'
"""
QUERIES = {
    "steps": f"""
        SELECT day, type AS step, count(*) AS orders,
               percentile(ms, 0.5) AS p50_ms, percentile(ms, 0.99) AS p99_ms
        FROM first WHERE {STEP} > 0 GROUP BY day, type ORDER BY day, {STEP}
    """,  # noqa: S608 - own names
    "reasons": """
        SELECT day, reason, refused_by, count(DISTINCT events.subject) AS orders
        FROM first JOIN events ON first.subject = events.subject AND first.type = events.type
        WHERE first.type = 'order.cancelled' GROUP BY day, reason, refused_by
        ORDER BY day, orders DESC, reason, refused_by
    """,
    "money": """
        SELECT date_format(moment, 'yyyy-MM-dd') AS day, currency,
               count_if(type = 'payment.captured') AS captures,
               sum(if(type = 'payment.captured', captured_minor, 0)) AS captured_minor,
               count_if(type = 'payment.refunded') AS refunds,
               sum(if(type = 'payment.refunded', refunded_minor, 0)) AS refunded_minor,
               sum(if(type = 'payment.refunded', fee_minor, 0)) AS fee_minor,
               sum(if(type = 'payment.captured', captured_minor, -refunded_minor)) AS revenue_minor
        FROM events
        WHERE type IN ('payment.captured', 'payment.refunded') AND captured_minor IS NOT NULL
        GROUP BY day, currency ORDER BY day, currency
    """,
}


def report(spark: SparkSession, url: str) -> dict[str, list[dict[str, Any]]]:
    read = spark.read.option("recursiveFileLookup", "true").option("pathGlobFilter", "*.parquet")
    read.parquet(url).createOrReplaceTempView("archive")
    spark.sql(RAW).createOrReplaceTempView("raw")
    spark.sql(EVENTS).cache().createOrReplaceTempView("events")
    spark.sql(FIRST).cache().createOrReplaceTempView("first")
    return {name: [row.asDict() for row in spark.sql(q).collect()] for name, q in QUERIES.items()}


def plain(value: Any) -> Any:
    """A sum as the integer that it is, of any size; a time in milliseconds to its thousandth."""
    if isinstance(value, Decimal):
        return int(value)
    return round(value, 3) if isinstance(value, float) else value


def rounded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description="The figures of an archive, as JSON.")
    parser.add_argument("archive", help="A folder, or a URL that this Spark reads.")
    url = parser.parse_args().archive
    spark = (
        SparkSession.builder.appName("checkout-report")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    try:
        found = {name: rounded(rows) for name, rows in report(spark, url).items()}
    finally:
        spark.stop()
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
