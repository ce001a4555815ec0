"""Where shipments and delivery details live."""

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
UPSERT: Final = """
INSERT INTO delivery_details (order_id, name, street, city, email) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (order_id) DO UPDATE
SET name = EXCLUDED.name, street = EXCLUDED.street, city = EXCLUDED.city, email = EXCLUDED.email
"""


async def fold_delivery_details(connection: Connection, record: Record) -> None:
    """The newest record of an order counts; a tombstone erases."""
    if record.value is None:
        query = "DELETE FROM delivery_details WHERE order_id = $1"
        await connection.execute(query, record.subject)
        return
    try:
        given = decode(record.value, record.headers).event
    except MalformedError as error:  # compaction keeps the record, so it stays readable in Kafka
        log.exception("delivery_details_malformed", saga_id=record.subject, error=str(error))
        return
    row = (given.order_id, given.name, given.street, given.city, given.email)
    await connection.execute(UPSERT, *row)
