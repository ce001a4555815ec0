"""What lies where in Redis, and how it is written there."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic_core import from_json, to_json

from chassis import byte_json
from chassis.dead_letters import name_of_place
from chassis.events import MalformedError
from chassis.message import OperatorAction, OutboxRow, Record
from chassis.store import DeadLetter

log = structlog.get_logger()


class Keys:
    """The names of a service's keys, which all begin with its own."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.prefix = f"{service}:"
        self.epoch = f"{service}:epoch"
        self.rebuild_begun = f"{service}:rebuild-begun"
        self.rebuild_lock = f"{service}:rebuild-lock"
        self.checked = f"{service}:checked"
        self.clock = f"{service}:clock"
        self.offsets = f"{service}:offsets"
        self.outbox = f"{service}:outbox"
        self.refused = f"{service}:refused"
        self.published = f"{service}:published"
        self.parked_keys = f"{service}:parked-keys"
        self.skipped = f"{service}:skipped"
        self.relay = f"{service}:relay:0"

    def of(self, kind: str, key: str) -> str:
        """The hash of a saga, or of what sagas share, by the name of its kind."""
        return f"{self.service}:{kind}:{key}"

    def parked(self, key: str) -> str:
        return f"{self.service}:parked:{key}"

    def actions(self, key: str) -> str:
        return f"{self.service}:actions:{key}"


def place_of(record: Record | None) -> str:
    return f"{record.topic}:{record.partition}" if record is not None else ""


def places_of(stored: Mapping[bytes, bytes]) -> dict[tuple[str, int], int]:
    """Offsets by topic and partition."""
    split = ((place.decode().rsplit(":", 1), int(offset)) for place, offset in stored.items())
    return {(topic, int(partition)): offset for (topic, partition), offset in split}


def place_values(offsets: Mapping[tuple[str, int], int]) -> list[Any]:
    return [v for (topic, part), n in offsets.items() for v in (f"{topic}:{part}", n)]


def noting(unread: list[str]) -> Callable[[Record, MalformedError], None]:
    """Logs a record of the service's own that can't be read, and adds its place to `unread`."""

    def note(record: Record, error: MalformedError) -> None:
        place = name_of_place(record)
        log.error("own_record_unreadable", place=place, error=str(error))
        unread.append(place)

    return note


def row_values(row: OutboxRow) -> tuple[Any, ...]:
    return (row.topic, row.key, row.value or b"", byte_json.packed(row.headers))


def row_of(pairs: list[bytes]) -> OutboxRow:
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    headers = byte_json.unpacked(fields[b"h"])
    return OutboxRow(fields[b"t"].decode(), fields[b"k"].decode(), fields[b"v"], headers)


def age_s(stream_id: bytes, now: datetime) -> float:
    """A stream's id begins with the milliseconds of Redis's own clock."""
    return max(0.0, now.timestamp() - int(stream_id.split(b"-")[0]) / 1000)


def place_in_stream(stream_id: str) -> tuple[int, ...]:
    return tuple(map(int, stream_id.split("-")))


def parked_entry(letter: DeadLetter) -> bytes:
    """A parked record as JSON; bytes are written as Latin-1 text, which keeps each of them."""
    record = letter.record
    key, value = byte_json.text_of(record.key), byte_json.text_of(record.value)
    place = (record.topic, record.partition, record.offset)
    headers = byte_json.packed(record.headers).decode()
    tries = (letter.attempts, letter.parked_at, letter.last_tried_at)
    return to_json([*place, key, value, headers, letter.first_reason, letter.last_reason, *tries])


def letter_of(parked_under: str, entry: bytes) -> DeadLetter:
    """An entry that release 0.1 wrote has one reason and no times."""
    topic, partition, offset, key, value, headers, first, *tried = from_json(entry)
    last, attempts, *times = tried or (first, 1, *2 * ["1970-01-01T00:00:00Z"])
    unpacked = tuple(byte_json.unpacked(headers.encode()))
    record = Record(
        topic, partition, offset, byte_json.raw_of(key), byte_json.raw_of(value), unpacked
    )
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
