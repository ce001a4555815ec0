"""From a Kafka record to a message to decide on, or the reason why it can't be one."""

from pydantic_core import to_json

from chassis import clock, wire
from chassis.message import Message, OutboxRow, Parked, Record
from chassis.sender import hash_of
from chassis.service import Service
from chassis.topics import PARTITIONS
from shared_events.catalog import NAMES, name_of
from shared_events.codec import MalformedError, decode_record, type_of


def is_consumed(service: Service, record: Record) -> bool:
    """False only for an event of the catalog, in any version, that this service does not read."""
    name = name_of(type_of(record.headers))
    return name in service.names or name not in NAMES


def message_of(record: Record, partitions: int = 0) -> Message | Parked:
    """`partitions` is how many its topic has, where that is known."""
    try:
        envelope = decode_record(record)
    except MalformedError as error:
        return Parked(f"malformed: {error}")
    if partitions and not is_at_home(record, partitions):
        return Parked("malformed: its key belongs in another partition")
    return Message(
        id=envelope.id,
        key=envelope.subject,
        body=envelope.event,
        at=clock.now(),
        traceparent=envelope.traceparent,
        record=record,
    )


def is_at_home(record: Record, partitions: int) -> bool:
    """Whether its partition is that of its key, now or when its topic had fewer than `partitions`."""
    hashed, fewest = hash_of(record.key or b""), min(PARTITIONS, partitions)
    return any(hashed % n == record.partition for n in range(partitions, fewest - 1, -1))


def kept(record: Record) -> str:
    """The original as text for an audit trail; Latin-1 characters keep each byte.

    JSON's escape of a NUL stays escaped, as PostgreSQL's text holds none.
    """
    key, value = wire.text_of(record.key), wire.text_of(record.value)
    headers = [(name, wire.text_of(raw)) for name, raw in record.headers]
    place = f"{record.topic}:{record.partition}:{record.offset}"
    return to_json({"record": place, "key": key, "value": value, "headers": headers}).decode()


def kept_row(row: OutboxRow) -> str:
    """A row of the outbox as text for an audit trail, in the same way."""
    headers = [(name, wire.text_of(raw)) for name, raw in row.headers]
    value = wire.text_of(row.value)
    return to_json({"topic": row.topic, "value": value, "headers": headers}).decode()
