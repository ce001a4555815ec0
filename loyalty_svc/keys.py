"""What lies where in Redis, and how it is written there."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from pydantic_core import from_json, to_json

from chassis import wire
from chassis.batches import UNREADABLE
from chassis.message import Change, OperatorAction, OutboxRow, Record
from chassis.service import Service
from chassis.store import DeadLetter
from chassis.work import States, adapter_of
from loyalty_svc.domain import Awarded, Customer, Deducted, Noted, Rejected
from shared_events.codec import MalformedError, decode_record
from shared_events.envelope import Envelope

log = structlog.get_logger()
PREFIX: Final = "loyalty:"
EPOCH: Final = "loyalty:epoch"
BEGUN: Final = "loyalty:rebuild-begun"
CHECKED: Final = "loyalty:checked"
CLOCK: Final = "loyalty:clock"
OFFSETS: Final = "loyalty:offsets"
OUTBOX: Final = "loyalty:outbox"
REFUSED: Final = "loyalty:refused"
PUBLISHED: Final = "loyalty:published"
PARKED_KEYS: Final = "loyalty:parked-keys"
SKIPPED: Final = "loyalty:skipped"
STATE_FIELDS: Final = ("version", "status", "detail")
CUSTOMER_FIELDS: Final = ("points", "suspended", "changes")
STATES: Final = {state.__name__: state for state in (Noted, Awarded, Deducted, Rejected)}


def order_key(key: str) -> str:
    return f"loyalty:order:{key}"


def customer_key(key: str) -> str:
    return f"loyalty:customer:{key}"


def parked_key(key: str) -> str:
    return f"loyalty:parked:{key}"


RELAY: Final = "loyalty:relay:0"


def actions_key(key: str) -> str:
    return f"loyalty:actions:{key}"


def place_of(record: Record | None) -> str:
    return f"{record.topic}:{record.partition}" if record is not None else ""


def places_of(stored: Mapping[bytes, bytes]) -> dict[tuple[str, int], int]:
    """Offsets by topic and partition."""
    parted = ((place.decode().rsplit(":", 1), int(offset)) for place, offset in stored.items())
    return {(topic, int(partition)): offset for (topic, partition), offset in parted}


def place_values(offsets: Mapping[tuple[str, int], int]) -> list[Any]:
    return [v for (topic, part), n in offsets.items() for v in (f"{topic}:{part}", n)]


def own_events(
    service: Service, records: Iterable[Any], unread: list[str]
) -> Iterator[tuple[str, Envelope]]:
    """What the service has published, of what stands in its topic, with its place there.

    What others left is passed over. What may be its own and can't be read is added to `unread`, by its
    place: one record must not keep all others from being used.
    """
    source = f"/{service.name}".encode()
    for record in records:
        place = f"{record.topic}:{record.partition}:{record.offset}"
        headers = dict(record.headers)
        if UNREADABLE not in headers and headers.get("ce_source") != source:
            log.error("foreign_record_skipped", place=place)
            continue
        try:
            envelope = decode_record(record)
            if type(envelope.event) not in service.publishes:
                raise MalformedError(f"{service.name} does not publish {envelope.type}")  # noqa: TRY301 - as all else
        except MalformedError as error:
            log.error("own_record_unreadable", place=place, error=str(error))  # noqa: TRY400 - it says all
            unread.append(place)
            continue
        yield place, envelope


def state_values(row: Change | None) -> tuple[Any, ...]:
    """Version, status and detail of an order's hash."""
    if row is None:
        return ("", "", b"")
    kind = type(row.state)
    return (row.version, kind.__name__, adapter_of(kind).dump_json(row.state))


def state_of(version: bytes, status: bytes, detail: bytes) -> Change:
    return Change(adapter_of(STATES[status.decode()]).validate_json(detail), int(version))


def customer_of(*row: bytes | None) -> Customer:
    points, suspended, changes = (int(value or 0) for value in row)
    return Customer(points=points, suspended=bool(suspended), changes=changes)


def row_values(row: OutboxRow) -> tuple[Any, ...]:
    return (row.topic, row.key, row.value or b"", wire.packed(row.headers))


def row_of(pairs: list[bytes]) -> OutboxRow:
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    headers = wire.unpacked(fields[b"h"])
    return OutboxRow(fields[b"t"].decode(), fields[b"k"].decode(), fields[b"v"], headers)


def age_s(stream_id: bytes, now: datetime) -> float:
    """A stream's id begins with the milliseconds of Redis's own clock."""
    return max(0.0, now.timestamp() - int(stream_id.split(b"-")[0]) / 1000)


def place_in_stream(stream_id: str) -> tuple[int, ...]:
    return tuple(map(int, stream_id.split("-")))


def delta(before: States, after: States, name: str) -> tuple[Any, ...]:
    """What a message adds to a customer's hash: points, and the standing if it has changed."""
    old, new = before.shared.get(name, Customer()), after.shared[name]
    standing = (int(new.suspended), new.changes) if new.changes != old.changes else ("", "")
    return (new.points - old.points, *standing)


def parked_entry(letter: DeadLetter) -> bytes:
    """A parked record as JSON; bytes are written as Latin-1 text, which keeps each of them."""
    record = letter.record
    key, value = wire.text_of(record.key), wire.text_of(record.value)
    place = (record.topic, record.partition, record.offset)
    headers = wire.packed(record.headers).decode()
    tries = (letter.attempts, letter.parked_at, letter.last_tried_at)
    return to_json([*place, key, value, headers, letter.first_reason, letter.last_reason, *tries])


def letter_of(parked_under: str, entry: bytes) -> DeadLetter:
    """An entry that release 0.1 wrote has one reason and no times."""
    topic, partition, offset, key, value, headers, first, *tried = from_json(entry)
    last, attempts, *times = tried or (first, 1, *2 * ["1970-01-01T00:00:00Z"])
    unpacked = tuple(wire.unpacked(headers.encode()))
    record = Record(topic, partition, offset, wire.raw_of(key), wire.raw_of(value), unpacked)
    parked_at, last_tried_at = map(_instant, times)
    return DeadLetter(
        letter_id(record), parked_under, record, first, last, attempts, parked_at, last_tried_at
    )


def letter_id(record: Record) -> str:
    """Where it came from: no two parked messages have that in common."""
    return f"{place_of(record)}:{record.offset}"


def refusal(why: str, at: datetime) -> bytes:
    """Why Kafka never takes a row of the outbox, and since when."""
    return to_json([why, at])


def refusal_of(entry: bytes) -> tuple[str, datetime]:
    why, at = from_json(entry)
    return why, _instant(at)


def audit_entry(at: datetime, action: OperatorAction) -> bytes:
    return to_json([at, action.by, action.action, action.key, action.note, action.detail])


def action_of(entry: bytes) -> tuple[datetime, OperatorAction]:
    at, *values = from_json(entry)
    return _instant(at), OperatorAction(*values)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
