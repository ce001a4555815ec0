"""From Kafka's records to messages to decide on, or the reason why one can't be made.

No reader believes a record because it is there: its type has to belong on the topic, its source to be
the type's owner, its key the subject, and its partition that of the key. One that fails holds up no
other: whatever reading or projecting it raises, other than an outage, is its own.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

import structlog

from chassis import clock, tracing
from chassis.dead_letters import name_of_place, place_of, reason_of, unreadable
from chassis.events import (
    Catalog,
    Envelope,
    MalformedError,
    check_origin,
    decode_logged,
    decode_record,
    name_of,
    type_of,
)
from chassis.handle import in_halves
from chassis.kafka.batches import UNREADABLE
from chassis.kafka.topics import hash_of, homes_of
from chassis.message import Message, Parked, Record
from chassis.service import Service

log = structlog.get_logger()
RecordPosition: TypeAlias = tuple[str, int, int]
"""Topic, partition and offset of a record."""
Project: TypeAlias = Callable[[Sequence[Record]], Awaitable[None]]
R = TypeVar("R", bound=Record)
SKIPPED: Final = "stepped over by an operator"
ASTRAY: Final = "its key belongs in another partition"


@dataclass(slots=True)
class Sorted:
    """The records of a batch, by what is done with them; those that can't be read are messages too.

    `any_astray` says that one stands in a partition that was never its key's, as far as is known.
    """

    projected: list[Record] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    any_astray: bool = False


def sort(
    service: Service,
    records: Sequence[Record],
    partitions: Callable[[str], int],
    skipped: frozenset[RecordPosition],
) -> Sorted:
    """`partitions` is how many a topic has; `skipped` is what a person steps over."""
    found = Sorted()
    for record in records:
        if (record.topic, record.partition, record.offset) in skipped:
            is_private = record.topic in service.projections
            found.messages.append(unreadable(place_of(record) if is_private else record, SKIPPED))
        elif record.topic in service.projections:
            if is_astray(record, partitions(record.topic)):
                found.any_astray = True
                found.messages.append(unreadable(place_of(record), f"not projected: {ASTRAY}"))
            else:
                found.projected.append(record)
        elif isinstance(message := _message(service, record, partitions), Message):
            found.messages.append(message)
        elif message is not None:
            found.any_astray |= message.reason.endswith(ASTRAY)
            found.messages.append(unreadable(record, message.reason))
    return found


def _message(
    service: Service, record: Record, partitions: Callable[[str], int]
) -> Message | Parked | None:
    try:
        if not is_consumed(service, record):
            return _stray(service, record, partitions(record.topic))
        if why := dict(record.headers).get(UNREADABLE):
            return Parked(f"unreadable: {why.decode('utf-8', 'backslashreplace')}")
        return message_of(service.catalog, record, partitions(record.topic))
    except Exception as error:  # noqa: BLE001 - whatever decoding raises is this record's alone
        log.error("record_not_read", place=name_of_place(record), error=reason_of(error))  # noqa: TRY400 - one line
        return Parked(f"unreadable: {reason_of(error)}")


def _stray(service: Service, record: Record, partitions: int) -> Parked | None:
    """An event that the service does not read is none of its concern, where its owner has put it."""
    try:
        check_origin(service.catalog, record)
    except MalformedError as error:
        return Parked(f"malformed: {error}")
    return Parked(f"malformed: {ASTRAY}") if is_astray(record, partitions) else None


async def projected(project: Project, records: Sequence[Record]) -> list[Message]:
    """Fold records of projected topics; those that fail are returned to be parked, without their bytes.

    `project` folds all records of a topic or none. The original stays in its compacted topic. What is
    projected may be personal data, which no dead letter may keep longer than that, nor the error
    that quotes them.
    """

    async def fold(some: Sequence[Record]) -> list[Message]:
        await project(some)
        return []

    async def park(record: Record, error: Exception) -> Message:
        why = str(error) if isinstance(error, MalformedError) else type(error).__name__
        log.error("record_not_projected", place=name_of_place(record), reason=why)
        return unreadable(place_of(record), f"not projected: {why}")

    return await in_halves(fold, records, park)


def own_events(
    catalog: Catalog,
    owner: str,
    records: Iterable[R],
    on_unreadable: Callable[[R, MalformedError], None],
    parts: int = 1,
) -> Iterator[tuple[R, Envelope]]:
    """What a service has published, of what stands in its topic, without what others left there.

    A record that can't be read, or that the service can't have published so, is reported: one must not
    keep all others from being used. `parts` are those of `logged_event`.
    """
    source = f"/{owner}".encode()
    for record in records:
        headers = dict(record.headers)
        if why := headers.get(UNREADABLE):
            on_unreadable(record, MalformedError(why.decode("utf-8", "backslashreplace")))
        elif headers.get("ce_source") == source:
            try:
                yield record, logged_event(catalog, record, parts)
            except MalformedError as error:
                on_unreadable(record, error)


def logged_event(catalog: Catalog, record: Record, parts: int = 1) -> Envelope:
    """One event of a log that is read in `parts`. Raises MalformedError for one that does not count in it."""
    envelope = decode_logged(catalog, record)
    check_part(record, parts)
    return envelope


def check_part(record: Record, parts: int) -> None:
    """Of a log that is read in parts, each is made of the partitions that leave one remainder.

    Raises MalformedError for a record in another part than its key's: it would count in both.
    """
    if (hash_of(record.key or b"") - record.partition) % parts:
        raise MalformedError(ASTRAY)


def is_consumed(service: Service, record: Record) -> bool:
    """False only for an event of the catalog, in any version, that this service does not read."""
    name = name_of(type_of(record.headers))
    return name in service.names or name not in service.catalog.names


def message_of(catalog: Catalog, record: Record, partitions: int = 0) -> Message | Parked:
    """`partitions` is how many its topic has, where that is known."""
    try:
        envelope = decode_record(catalog, record)
    except MalformedError as error:
        return Parked(f"malformed: {error}")
    if is_astray(record, partitions):
        return Parked(f"malformed: {ASTRAY}")
    return Message(
        id=envelope.id,
        key=envelope.subject,
        body=envelope.event,
        at=clock.now(),
        traceparent=tracing.joined(envelope.traceparent, envelope.tracestate),
        record=record,
        caused_at=envelope.time,
    )


def is_astray(record: Record, partitions: int) -> bool:
    """Whether its partition was never that of its key; False where the number of them is not known, 0."""
    if not partitions:
        return False
    key = record.key or b""
    is_home = hash_of(key) % partitions == record.partition
    return not is_home and record.partition not in homes_of(key, partitions)
