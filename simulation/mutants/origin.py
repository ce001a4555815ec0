"""Bugs in what is checked of a record before it counts: its topic, source, key, partition and id."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import chassis.events.codec
import chassis.kafka.records
from chassis.events import Catalog, Envelope
from chassis.message import Record
from shared_events.codec import decode
from simulation.machine import PatchedAttribute
from simulation.mutants.mutant import bug, instead_of


@bug(
    "an event counts in whatever topic it stands",
    "I9",
    at=(chassis.kafka.records, "decode_record"),
    faults=("hostile",),
    seed=3,
)
def any_topic_will_do(decode_record: Any, catalog: Catalog, record: Record) -> Envelope:
    entry = catalog.entry_of(decode(record.value, record.headers).event)
    found: Envelope = decode_record(catalog, replace(record, topic=entry.topic))
    return found


@bug(
    "an event counts whoever says that it has sent it",
    "I9",
    at=(chassis.kafka.records, "decode_record"),
    faults=("hostile",),
    seed=12,
    orders=20,
)
def any_source_will_do(decode_record: Any, catalog: Catalog, record: Record) -> Envelope:
    source = f"/{catalog.entry_of(decode(record.value, record.headers).event).owner}".encode()
    headers = tuple((n, source if n == "ce_source" else raw) for n, raw in record.headers)
    found: Envelope = decode_record(catalog, replace(record, headers=headers))
    return found


@bug(
    "an event counts under whatever key it stands",
    "I9",
    at=(chassis.kafka.records, "decode_record"),
    faults=("hostile",),
    seed=5,
    orders=20,
)
def any_key_will_do(decode_record: Any, catalog: Catalog, record: Record) -> Envelope:
    key = decode(record.value, record.headers).subject.encode()
    found: Envelope = decode_record(catalog, replace(record, key=key))
    return found


@bug(
    "an event counts in whatever partition it stands",
    "I9",
    at=(chassis.kafka.records, "is_astray"),
    faults=("copied",),
    seed=8,
)
def any_partition_will_do(*_: Any) -> bool:
    return False


@bug(
    "nobody looks where an event stands that is not for them",
    "I9",
    at=(chassis.kafka.records, "_stray"),
    faults=("hostile", "copied"),
    seed=6,
)
def foreign_events_passed_over(*_: Any) -> None:
    """What a service does not read is never parked."""


@bug(
    "a rebuild counts an event again that stands in the log under another id",
    "G2",
    "G8",
    "G6",
    faults=("copied", "redis-lost"),
    seed=9,
    orders=30,
)
def copies_folded() -> Sequence[PatchedAttribute]:
    def as_any_reader(
        _original: Any, catalog: Catalog, record: Record, _parts: int = 1
    ) -> Envelope:
        return chassis.events.codec.decode_record(catalog, record)

    return [instead_of(chassis.kafka.records, "logged_event", as_any_reader)]
