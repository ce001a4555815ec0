"""Where shipments and delivery details live."""

from collections.abc import Sequence
from typing import Final, get_args

from chassis.events import MalformedError
from chassis.message import Record
from chassis.postgres import Connection, StateTable
from shared_events.codec import decode_record
from shared_events.order import DeliveryDetailsGiven
from shipping_svc.domain import State

SHIPMENTS: Final = StateTable("shipments", "order_id", get_args(State)[1:])  # Absent has no row
ERASE: Final = "DELETE FROM delivery_details WHERE order_id = ANY($1::text[])"
UPSERT: Final = """
INSERT INTO delivery_details (order_id, name, street, city, email)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
ON CONFLICT (order_id) DO UPDATE
SET name = EXCLUDED.name, street = EXCLUDED.street, city = EXCLUDED.city, email = EXCLUDED.email
"""


async def fold_delivery_details(connection: Connection, records: Sequence[Record]) -> None:
    """The newest record of an order counts; a tombstone erases.

    Raises MalformedError for what is no such record, and what PostgreSQL raises for a text it can't
    hold: such a record is found and parked, and the table keeps what was given before.
    """
    newest: dict[str, tuple[str, ...]] = {}
    for record in records:
        newest[record.subject] = () if record.value is None else _row_of(record)
    if erased := [key for key, row in newest.items() if not row]:
        await connection.execute(ERASE, erased)
    if rows := [row for row in newest.values() if row]:
        await connection.execute(UPSERT, *(list(column) for column in zip(*rows, strict=True)))


def _row_of(record: Record) -> tuple[str, ...]:
    given = decode_record(record).event
    if not isinstance(given, DeliveryDetailsGiven):
        raise MalformedError("it is another event than delivery details")
    return (given.order_id, given.name, given.street, given.city, given.email)
