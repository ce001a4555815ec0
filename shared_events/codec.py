"""CloudEvents Kafka protocol binding 1.0.2, binary mode: attributes are headers, the value is JSON."""

from collections.abc import Iterable
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from shared_events.catalog import BY_EVENT, BY_TYPE, NAMES, name_of
from shared_events.envelope import Envelope

Headers = list[tuple[str, bytes]]
CONTENT_TYPE: Final = "application/json"
OURS: Final = ("ce_", "traceparent")


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


def encode(envelope: Envelope) -> tuple[bytes, Headers]:
    """The value and the headers of one event. The key is the subject.

    Raises IncompleteError for an attribute without a value, as nothing leaves whose cause is unknown,
    and for an event that was read from an older version: what it says now is not that type's.
    """
    entry = BY_EVENT[type(envelope.event)]
    attributes = (
        ("ce_specversion", "1.0"),
        ("ce_id", str(envelope.id)),
        ("ce_type", envelope.type),
        ("ce_source", envelope.source),
        ("ce_subject", envelope.subject),
        ("ce_time", envelope.time.isoformat()),
        ("ce_sequence", str(envelope.sequence)),
        ("ce_sagaid", envelope.saga_id),
        ("ce_causationid", envelope.causation_id),
        ("content-type", CONTENT_TYPE),
    )
    if not all(map(itemgetter(1), attributes)):
        missing = ", ".join(name for name, value in attributes if not value)
        raise IncompleteError(f"{envelope.type} has no {missing}")
    if envelope.type != entry.wire_type:
        raise IncompleteError(f"{envelope.type} is published as {entry.wire_type}")
    headers = [(name, value.encode()) for name, value in attributes]
    if envelope.causation_type:
        headers.append(("ce_causationtype", envelope.causation_type.encode()))
    if envelope.traceparent:  # a foreign neighbour may have started no trace
        headers.append(("traceparent", envelope.traceparent.encode()))
    return entry.adapter.dump_json(envelope.event), headers


def decode(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """Read one event; an unknown field is dropped, but inside the order context it is kept.

    One of an older version becomes today's event, with the id and the type that it was sent with.
    Headers of others, such as a proxy's, may hold any bytes.

    Raises MalformedError for a missing attribute, an unknown type or a value off its schema.
    """
    try:
        attributes = {
            name: data.decode()
            for name, data in headers
            if data is not None and name.startswith(OURS)
        }
        wire_type = attributes["ce_type"]
        entry = BY_TYPE.get(wire_type)
        if entry is None:
            what = "version" if name_of(wire_type) in NAMES else "type"
            raise MalformedError(f"unknown {what} {wire_type!r}")
        if value is None:
            raise MalformedError("the value is null")
        return Envelope(
            id=UUID(attributes["ce_id"]),
            type=wire_type,
            source=attributes["ce_source"],
            subject=attributes["ce_subject"],
            time=datetime.fromisoformat(attributes["ce_time"]).astimezone(UTC),
            sequence=int(attributes.get("ce_sequence", "0")),
            saga_id=attributes.get("ce_sagaid", ""),
            causation_id=attributes.get("ce_causationid", ""),
            causation_type=attributes.get("ce_causationtype", ""),
            traceparent=attributes.get("traceparent", ""),
            event=entry.read(wire_type, value),
        )
    except KeyError as missing:
        raise MalformedError(f"attribute {missing} is missing") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "value"
        raise MalformedError(f"{where}: {first['msg']}") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise MalformedError(str(error)) from None
