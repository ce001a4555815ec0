"""CloudEvents Kafka protocol binding 1.0.2, binary mode: attributes are headers, the value is JSON."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final, Protocol
from uuid import UUID

from pydantic import ValidationError

from chassis.events.catalog import Catalog, Listed, identity_of, name_of
from chassis.events.envelope import EARLIEST, LATEST, Envelope, event_id
from chassis.events.upcasting import UPCASTING

Headers = list[tuple[str, bytes]]
SPECVERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/json"
OURS: Final = ("ce_", "traceparent", "tracestate", "content-type")
REQUIRED: Final = ("ce_type", "ce_specversion", "ce_id", "ce_source", "ce_subject", "ce_time")
REASON_MAX: Final = 500
TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)
SEQUENCE: Final = re.compile(r"[0-9]{1,10}")
SEQUENCE_DIGITS: Final = 10
NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
TRACESTATE: Final = re.compile(rb"[\x20-\x7e]{1,512}")


class Recorded(Protocol):
    """A record of Kafka, whoever's class it is."""

    @property
    def topic(self) -> str: ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class MalformedError(ValueError):
    """The bytes are not an event of the catalog. The message says what is wrong, without the data."""


class IncompleteError(ValueError):
    """An event is to be published without one of its attributes."""


def type_of(headers: Iterable[tuple[str, bytes | None]]) -> str:
    """The CloudEvents type, read without decoding the value; "" when it is missing."""
    for name, value in headers:
        if name == "ce_type":
            return (value or b"").decode("utf-8", "replace")
    return ""


def encode(catalog: Catalog, envelope: Envelope) -> tuple[bytes, Headers]:
    """The value and the headers of one event. The key is the subject.

    Raises IncompleteError for an attribute without a value, as nothing leaves whose cause is unknown,
    and for an event that was read from an older version: what it says now is not that type's. Raises
    OverflowError for a number beyond its limits, which nobody would read, not even the service itself.
    """
    entry = catalog.entry_of(envelope.event)
    attributes = (
        ("ce_specversion", SPECVERSION),
        ("ce_id", str(envelope.id)),
        ("ce_type", envelope.type),
        ("ce_source", envelope.source),
        ("ce_subject", envelope.subject),
        ("ce_time", envelope.time.isoformat()),
        ("ce_sequence", f"{envelope.sequence:0{SEQUENCE_DIGITS}}"),
        ("ce_sagaid", envelope.saga_id),
        ("ce_causationid", envelope.causation_id),
        ("content-type", CONTENT_TYPE),
    )
    if not all(map(itemgetter(1), attributes)):
        missing = ", ".join(name for name, value in attributes if not value)
        raise IncompleteError(f"{envelope.type} has no {missing}")
    if envelope.type != entry.wire_type:
        raise IncompleteError(f"{envelope.type} is published as {entry.wire_type}")
    for name, least, most in entry.limits:
        if not least <= getattr(envelope.event, name) <= most:
            raise OverflowError(f"{envelope.type}: {name} is beyond its limits")
    headers = [(name, value.encode()) for name, value in attributes]
    if envelope.causation_type:
        headers.append(("ce_causationtype", envelope.causation_type.encode()))
    if envelope.traceparent:  # a foreign neighbour may have started no trace
        headers.append(("traceparent", envelope.traceparent.encode()))
        if envelope.tracestate:
            headers.append(("tracestate", envelope.tracestate.encode()))
    return entry.adapter.dump_json(envelope.event), headers


def decode(
    catalog: Catalog, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]
) -> Envelope:
    """Read one event; an unknown field is dropped, but where its class keeps what it does not know.

    One of an older version becomes today's event, with the id and the type that it was sent with.
    Headers of others, such as a proxy's, may hold any bytes; a trace context that is none is dropped.

    Raises MalformedError, and nothing else, for a missing or repeated attribute, one that CloudEvents
    does not allow, an unknown type, or a value off its schema. It does not repeat the data.
    """
    try:
        return _decoded(catalog, value, _attributes(headers))
    except MalformedError:
        raise
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "value"
        raise MalformedError(f"{where}: {first['msg']}"[:REASON_MAX]) from None
    except UPCASTING as error:
        raise MalformedError(f"the value can't be read: {type(error).__name__}") from None


def decode_record(catalog: Catalog, record: Recorded) -> Envelope:
    """Read one event of a topic: what the record says of it in several places must agree.

    Topic and source are those of the type's owner; key, subject, saga and the event's own id are one.

    Raises MalformedError.
    """
    envelope = decode(catalog, record.value, record.headers)
    entry = catalog.entry_of(envelope.event)
    _hold_origin(entry, envelope.type, record, envelope.source, envelope.subject)
    if envelope.subject != entry.subject_of(envelope.event):
        raise MalformedError("the event is about another subject")
    if envelope.saga_id not in {"", envelope.subject}:
        raise MalformedError("ce_sagaid is not the subject")
    return envelope


def decode_logged(catalog: Catalog, record: Recorded) -> Envelope:
    """Read one event of a log of which its service is rebuilt.

    There its id has to be that of its decision, and it has a number: a copy of an event under another
    id, which its readers answer with a no-op, would be folded a second time.

    Raises MalformedError.
    """
    envelope = decode_record(catalog, record)
    identity = catalog.entry_of(envelope.event).identity
    if envelope.id != event_id(envelope.subject, identity, getattr(envelope.event, "attempt", 1)):
        raise MalformedError("ce_id is not that of its event")
    if not envelope.sequence:
        raise MalformedError("attribute 'ce_sequence' is missing")
    return envelope


def check_origin(catalog: Catalog, record: Recorded) -> None:
    """What the headers alone say of an event of a known name, in whatever version.

    Raises MalformedError.
    """
    wire_type, headers = type_of(record.headers), dict(record.headers)
    source, subject = (headers.get(name) or b"" for name in ("ce_source", "ce_subject"))
    entry = catalog.by_type[identity_of(wire_type)]
    _hold_origin(
        entry, wire_type, record, *(t.decode("utf-8", "replace") for t in (source, subject))
    )


def _hold_origin(
    entry: Listed, wire_type: str, record: Recorded, source: str, subject: str
) -> None:
    if record.topic not in entry.topics:
        raise MalformedError(f"{wire_type} does not belong on this topic")
    if source != f"/{entry.owner}":
        raise MalformedError("ce_source is not the owner of its type")
    if record.key != subject.encode():
        raise MalformedError("the key is not the subject")


def _attributes(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    found: dict[str, bytes] = {}
    for name, data in headers:
        if data is not None and name.startswith(OURS):
            if name in found and name != "tracestate":
                raise MalformedError(f"attribute {name[:40]!r} is there twice")
            found[name] = data
    if not TRACEPARENT.fullmatch(found.get("traceparent", b"")):
        found["traceparent"] = found["tracestate"] = b""
    elif not TRACESTATE.fullmatch(found.get("tracestate", b"")):
        found["tracestate"] = b""
    try:
        return {name: data.decode() for name, data in found.items()}
    except UnicodeDecodeError:
        raise MalformedError("an attribute is not UTF-8") from None


def _decoded(catalog: Catalog, value: bytes | None, attributes: Mapping[str, str]) -> Envelope:
    get = attributes.get
    if missing := [name for name in REQUIRED if not get(name)]:
        raise MalformedError(f"attribute {missing[0]!r} is missing")
    wire_type = attributes["ce_type"]
    entry = catalog.by_type.get(wire_type)
    if entry is None:
        what = "version" if name_of(wire_type) in catalog.names else "type"
        raise MalformedError(f"unknown {what} {wire_type[:100]!r}")
    if attributes["ce_specversion"] != SPECVERSION:
        raise MalformedError(f"ce_specversion is not {SPECVERSION}")
    if get("content-type", CONTENT_TYPE).partition(";")[0].strip() != CONTENT_TYPE:
        raise MalformedError(f"content-type is not {CONTENT_TYPE}")
    if value is None:
        raise MalformedError("the value is null")
    if b"\\u0000" in value and NUL.search(value):
        raise MalformedError("the value holds a NUL, which no database keeps as text")
    return Envelope(
        id=_id_of(attributes["ce_id"]),
        type=wire_type,
        source=attributes["ce_source"],
        subject=attributes["ce_subject"],
        time=_time_of(attributes["ce_time"]),
        sequence=_sequence_of(get("ce_sequence", "0")),
        saga_id=get("ce_sagaid", ""),
        causation_id=get("ce_causationid", ""),
        causation_type=get("ce_causationtype", ""),
        traceparent=attributes["traceparent"],
        tracestate=attributes["tracestate"],
        event=entry.read(wire_type, value),
    )


def _id_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise MalformedError("ce_id is not a UUID") from None


def _time_of(text: str) -> datetime:
    """RFC 3339, as CloudEvents says: with an offset, as nobody knows the zone of who wrote it."""
    try:
        if TIME.fullmatch(text):
            at = datetime.fromisoformat(text.upper()).astimezone(UTC)
            if EARLIEST <= at < LATEST:
                return at
    except (OverflowError, ValueError):
        pass
    raise MalformedError("ce_time is no time of RFC 3339 with an offset")


def _sequence_of(text: str) -> int:
    if not SEQUENCE.fullmatch(text):
        raise MalformedError("ce_sequence is no number")
    return int(text)
