"""Where shipments and delivery details live."""

from collections.abc import Sequence
from typing import Final

import structlog

from chassis.message import Record
from chassis.postgres_types import Connection
from chassis.state_tables import StateTable
from shared_events.codec import MalformedError, decode
from shipping_svc.domain import (
    Approved,
    Booking,
    Cancelled,
    Cancelling,
    Created,
    Dispatched,
    Dispatching,
    Noted,
    Rejected,
)

log = structlog.get_logger()
SHIPMENTS: Final = StateTable(
    "shipments",
    (
        Noted,
        Booking,
        Created,
        Approved,
        Dispatching,
        Dispatched,
        Cancelling,
        Cancelled,
        Rejected,
    ),
)
ERASE: Final = "DELETE FROM delivery_details WHERE order_id = ANY($1::text[])"
UPSERT: Final = """
INSERT INTO delivery_details (order_id, name, street, city, email)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
ON CONFLICT (order_id) DO UPDATE
SET name = EXCLUDED.name, street = EXCLUDED.street, city = EXCLUDED.city, email = EXCLUDED.email
"""


async def fold_delivery_details(connection: Connection, records: Sequence[Record]) -> None:
    """The newest record of an order counts; a tombstone erases."""
    newest: dict[str, tuple[str, ...]] = {}
    for record in records:
        if record.value is None:
            newest[record.subject] = ()
            continue
        try:
            given = decode(record.value, record.headers).event
        except (
            MalformedError
        ) as error:  # compaction keeps the record, so it stays readable in Kafka
            log.exception("delivery_details_malformed", saga_id=record.subject, error=str(error))
            continue
        newest[given.order_id] = (given.order_id, given.name, given.street, given.city, given.email)
    if erased := [key for key, row in newest.items() if not row]:
        await connection.execute(ERASE, erased)
    if rows := [row for row in newest.values() if row]:
        await connection.execute(UPSERT, *(list(column) for column in zip(*rows, strict=True)))
