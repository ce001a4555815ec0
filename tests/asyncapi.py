"""docs/asyncapi.yaml, AsyncAPI 3.0: channels, messages and who sends and receives them."""

import tomllib
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import yaml

from chassis.events import Entry, dead_letters_of
from saga_cli.schema import sources
from saga_cli.topology import SERVICES, ServiceSpec
from shared_events.catalog import CATALOG

PROJECT: Final = Path(__file__).parents[1] / "pyproject.toml"
HEAD: Final = "# Made by `python -m tests.docs_pages` from the code. Do not edit it by hand.\n"
KAFKA: Final = "0.5.0"
"""The version of the Kafka bindings."""
REFERENCE: Final = "#/components/schemas/"
Fragment = dict[str, Any]

HEADERS: Final[Fragment] = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": {"format": "uuid", "description": "The same decision always has the same."},
    "ce_type": {"description": "The message's name."},
    "ce_source": {"format": "uri-reference", "description": "The service that has decided it."},
    "ce_subject": {"description": "The key of the record."},
    "ce_time": {"format": "date-time", "description": "RFC 3339, with an offset."},
    "ce_sequence": {
        "pattern": "^[0-9]{1,10}$",
        "description": "Counts a service's events of one subject without a gap. Ten digits, so that it"
        " sorts as text; the first releases wrote it without leading zeros.",
    },
    "ce_sagaid": {"description": "The order's id, or what else the event is about."},
    "ce_causationid": {"description": "The id of the message that led to it."},
    "ce_causationtype": {"description": "The type of that event, or the name of that command."},
    "content-type": {"const": "application/json"},
    "traceparent": {"description": "W3C Trace Context."},
    "tracestate": {"description": "W3C Trace Context, what others added to the caller's."},
}
OPTIONAL: Final = {"ce_causationtype", "traceparent", "tracestate"}
DEAD: Final[Fragment] = {
    "dlq_topic": {"description": "Where the record stood."},
    "dlq_partition": {"pattern": "^[0-9]+$"},
    "dlq_offset": {"pattern": "^[0-9]+$"},
    "dlq_error": {"description": "Why it could not be decided on."},
}


def asyncapi_page() -> str:
    """docs/asyncapi.yaml as the code says it should be."""
    return HEAD + yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=100)


def document() -> Fragment:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Choreographed checkout",
            "version": tomllib.loads(PROJECT.read_text("utf-8"))["project"]["version"],
            "description": "CloudEvents 1.0 on Kafka, binary mode: attributes are headers, the value is"
            " JSON, the key is the subject. How an event changes: docs/evolution.md. Earlier releases"
            f" wrote {', '.join(_former())}: events in them are read still, and have the same form.",
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": "application/json",
        "channels": dict(_channels()),
        "operations": dict(_operations()),
        "components": {"messages": dict(_messages()), "schemas": _schemas()},
    }


def _refer(*path: str) -> Fragment:
    return {"$ref": "#/" + "/".join(path)}


def _topics() -> list[str]:
    return list(dict.fromkeys(entry.topic for entry in CATALOG.entries))


def _former() -> list[str]:
    return list(dict.fromkeys(topic for entry in CATALOG.entries for topic in entry.former))


def _channels() -> Iterator[tuple[str, Fragment]]:
    for topic in _topics():
        entries = [entry for entry in CATALOG.entries if entry.topic == topic]
        compacted = topic in CATALOG.compacted
        what = "Only the newest record of a key is kept." if compacted else "Kept for ever."
        policy = "compact" if compacted else "delete"
        yield (
            topic,
            {
                "address": topic,
                "description": f"Written by {entries[0].owner} alone. {what}",
                "messages": {
                    e.wire_type: _refer("components", "messages", e.wire_type) for e in entries
                },
                "bindings": _kafka(topic=topic, topicConfiguration={"cleanup.policy": [policy]}),
            },
        )
    for spec in SERVICES:
        topic = dead_letters_of(spec.name)
        yield (
            topic,
            {
                "address": topic,
                "description": f"Copies of what {spec.name} could not decide on.",
                "messages": {"dead-letter": _refer("components", "messages", "dead-letter")},
                "bindings": _kafka(topic=topic),
            },
        )


def _kafka(**binding: Any) -> Fragment:
    return {"kafka": {**binding, "bindingVersion": KAFKA}}


def _operations() -> Iterator[tuple[str, Fragment]]:
    for spec in SERVICES:
        sent = [entry for entry in CATALOG.entries if entry.owner == spec.name]
        for action, entries in (("send", sent), ("receive", _received(spec))):
            for topic in sorted({entry.topic for entry in entries}):
                names = [entry.wire_type for entry in entries if entry.topic == topic]
                yield f"{spec.name}.{action}.{topic}", _operation(action, topic, names)
        dead = dead_letters_of(spec.name)
        yield f"{spec.name}.send.{dead}", _operation("send", dead, ["dead-letter"])


def _received(spec: ServiceSpec) -> list[Entry]:
    """What a service decides on, or folds into a table."""
    service = import_module(f"{spec.module}.service").SERVICE
    folded = [entry for entry in CATALOG.entries if entry.topic in service.projections]
    return [*(CATALOG.by_event[event] for event in service.consumes), *folded]


def _operation(action: str, topic: str, names: Iterable[str]) -> Fragment:
    return {
        "action": action,
        "channel": _refer("channels", topic),
        "messages": [_refer("channels", topic, "messages", name) for name in names],
    }


def _messages() -> Iterator[tuple[str, Fragment]]:
    vocabulary = sources.here()
    for name, event in vocabulary.items():
        payload = {key: event.schema[key] for key in event.schema if key != "$defs"}
        attributes = {"ce_type": {"const": name}, "ce_source": {"const": f"/{event.owner}"}}
        yield (
            name,
            {
                "name": name,
                "title": CATALOG.by_type[name].event.__name__,
                "summary": " ".join(payload.pop("description").split()),
                "headers": {
                    "allOf": [_refer("components", "schemas", "CloudEvent"), _object(attributes)]
                },
                "payload": _relocated(payload),
                "bindings": _kafka(key={"type": "string", "description": event.key}),
            },
        )
    yield (
        "dead-letter",
        {
            "name": "dead-letter",
            "title": "DeadLetter",
            "summary": "The record byte for byte, with where it stood and why in more headers.",
            "headers": {"type": "object", "properties": _texts(DEAD), "required": list(DEAD)},
            "payload": {},
        },
    )


def _object(properties: Fragment) -> Fragment:
    return {"type": "object", "properties": properties}


def _texts(fields: Fragment) -> Fragment:
    return {name: {"type": "string", **field} for name, field in fields.items()}


def _schemas() -> Fragment:
    """The values that events share; each has one form."""
    found: Fragment = {
        "CloudEvent": {
            "type": "object",
            "properties": _texts(HEADERS),
            "required": [name for name in HEADERS if name not in OPTIONAL],
        }
    }
    for event in sources.here().values():
        for name, schema in event.schema.get("$defs", {}).items():
            if found.setdefault(name, _relocated(schema)) != _relocated(schema):
                raise ValueError(f"two values are named {name}")
    return found


def _relocated(schema: Any) -> Any:
    """With references into the document, where they were into the schema."""
    if isinstance(schema, list):
        return [_relocated(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _relocated(part) for name, part in schema.items()}
    if isinstance(reference := found.get("$ref"), str):
        found["$ref"] = reference.replace("#/$defs/", REFERENCE)
    return found
