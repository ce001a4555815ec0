"""What is kept of a message that can't be decided: its record, the reason, and a text for the audit trail."""

from typing import Final

from pydantic_core import to_json

from chassis import byte_json, clock, ids
from chassis.message import Message, OutboxRow, Record, Unreadable

REASON_MAX: Final = 1000
STORED_REASON_MAX: Final = 2000


def unreadable(record: Record, reason: str) -> Message:
    """A record of which no message can be made, as one to park; its place is its id."""
    return Message(
        id=ids.derived_id(record.topic, str(record.partition), str(record.offset)),
        key=record.subject,
        body=Unreadable(reason),
        at=clock.now(),
        traceparent="",
        record=record,
    )


def place_of(record: Record) -> Record:
    """A record without its bytes. Its key says where the original stands."""
    place = (record.topic, record.partition, record.offset)
    return Record(*place, name_of_place(record).encode(), None, ())


def name_of_place(record: Record) -> str:
    return f"{record.topic}:{record.partition}:{record.offset}"


def stored_reason(reason: str) -> str:
    """Why a message is a dead letter, as a column of text takes it: without NUL, of bounded length."""
    return reason[:STORED_REASON_MAX].replace("\0", "\\x00")


def reason_of(error: Exception) -> str:
    """An error in words that any store takes: without NUL and surrogates, of bounded length."""
    text = f"{type(error).__name__}: {error}"[:REASON_MAX].replace("\0", "\\x00")
    return text.encode("utf-8", "backslashreplace").decode()


def audit_text(record: Record) -> str:
    """The original as text for an audit trail; Latin-1 characters keep each byte.

    JSON's escape of a NUL stays escaped, as PostgreSQL's text holds none.
    """
    key, value = byte_json.text_of(record.key), byte_json.text_of(record.value)
    headers = [(name, byte_json.text_of(raw)) for name, raw in record.headers]
    place = name_of_place(record)
    return to_json({"record": place, "key": key, "value": value, "headers": headers}).decode()


def audit_text_of_row(row: OutboxRow) -> str:
    """A row of the outbox as text for an audit trail, in the same way."""
    headers = [(name, byte_json.text_of(raw)) for name, raw in row.headers]
    value = byte_json.text_of(row.value)
    return to_json({"topic": row.topic, "value": value, "headers": headers}).decode()
