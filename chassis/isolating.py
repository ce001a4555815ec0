"""A record that fails holds up no other: it is found by halves, parked, and the rest goes on.

This is the last resort behind what reader, rules and store isolate themselves: whatever else they
raise for a record, other than an outage.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import structlog

from chassis.batches import UNREADABLE
from chassis.errors import ChassisError
from chassis.message import Message, Outcome, Parked, Record
from chassis.parking import is_consumed, message_of
from chassis.service import Service
from chassis.store import Store
from shared_events.codec import MalformedError

log = structlog.get_logger()
Letter: TypeAlias = tuple[Record, str]
"""A record that can't be decided on, and why."""
Place: TypeAlias = tuple[str, int, int]
"""Topic, partition and offset of a record."""
Project: TypeAlias = Callable[[Sequence[Record]], Awaitable[None]]
OUTAGES: Final = (ChassisError, OSError, MemoryError)
"""Not a record's fault: its batch is tried again as a whole."""
SAID_MAX: Final = 1000


@dataclass(slots=True)
class Read:
    """The records of a batch, by what is done with them."""

    projected: list[Record] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    malformed: list[Letter] = field(default_factory=list)


def read(
    service: Service,
    records: Sequence[Record],
    partitions: Callable[[str], int],
    skipped: frozenset[Place],
) -> Read:
    """Sort a batch. `partitions` is how many a topic has; `skipped` is what a person steps over."""
    found = Read()
    for record in records:
        if (record.topic, record.partition, record.offset) in skipped:
            is_private = record.topic in service.projections
            letter = (place_of(record) if is_private else record, "stepped over by an operator")
            found.malformed.append(letter)
        elif record.topic in service.projections:
            found.projected.append(record)
        elif isinstance(message := _message(service, record, partitions), Message):
            found.messages.append(message)
        elif message is not None:
            found.malformed.append((record, message.reason))
    return found


def _message(
    service: Service, record: Record, partitions: Callable[[str], int]
) -> Message | Parked | None:
    try:
        if not is_consumed(service, record):
            return None
        if why := dict(record.headers).get(UNREADABLE):
            return Parked(f"unreadable: {why.decode('utf-8', 'backslashreplace')}")
        return message_of(record, partitions(record.topic))
    except Exception as error:  # noqa: BLE001 - whatever decoding raises is this record's alone
        log.error("record_not_read", place=_named(record), error=said(error))  # noqa: TRY400 - one line
        return Parked(f"unreadable: {said(error)}")


async def handled(
    store: Store, messages: Sequence[Message], malformed: Sequence[Letter]
) -> list[Outcome]:
    """As the store's `handle`; a message or record that it fails on is parked."""
    try:
        return await store.handle(messages, malformed)
    except OUTAGES:
        raise
    except Exception as error:  # whatever it is: one of these records has led to it
        if messages and malformed:
            await handled(store, (), malformed)
            return await handled(store, messages, ())
        if len(messages) > 1:
            half = len(messages) // 2
            first = await handled(store, messages[:half], ())
            return first + await handled(store, messages[half:], ())
        if len(malformed) > 1:
            half = len(malformed) // 2
            await handled(store, (), malformed[:half])
            return await handled(store, (), malformed[half:])
        record = messages[0].record if messages else malformed[0][0]
        log.error("record_not_handled", place=_named(record), error=said(error))  # noqa: TRY400 - one line
        if record is None:
            raise
        why = said(error) if messages else f"{said(error)}; {malformed[0][1]}"
        await _keep(store, record, why, bytes_too=bool(messages))
        return [Parked(why)] if messages else []


async def _keep(store: Store, record: Record, why: str, *, bytes_too: bool) -> None:
    """Park a record; where its bytes can't be kept, its place. Raises what refuses even that."""
    if bytes_too:
        try:
            await store.handle((), [(record, why)])
        except OUTAGES:
            raise
        except Exception as error:  # noqa: BLE001 - its place can be kept all the same
            log.error("bytes_not_kept", place=_named(record), error=said(error))  # noqa: TRY400 - one line
            why = f"{why}; its bytes can't be kept: {said(error)}"
        else:
            return
    await store.handle((), [(place_of(record), why)])


async def projected(project: Project, records: Sequence[Record]) -> list[Letter]:
    """Fold records of projected topics; those that fail are returned, without their bytes.

    `project` folds all of some records or none. The original stays in its compacted topic. What is
    projected may be personal data, which no dead letter may keep longer than that, nor the error
    that quotes them.
    """
    try:
        await project(records)
    except OUTAGES:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is: one of these records has led to it
        if len(records) > 1:
            half = len(records) // 2
            first = await projected(project, records[:half])
            return first + await projected(project, records[half:])
        why = str(error) if isinstance(error, MalformedError) else type(error).__name__
        log.error("record_not_projected", place=_named(records[0]), reason=why)  # noqa: TRY400 - see above
        return [(place_of(records[0]), f"not projected: {why}")]
    return []


def place_of(record: Record) -> Record:
    """A record without its bytes. Its key says where the original stands."""
    place = (record.topic, record.partition, record.offset)
    return Record(*place, _named(record).encode(), None, ())


def _named(record: Record | None) -> str:
    return f"{record.topic}:{record.partition}:{record.offset}" if record else ""


def said(error: Exception) -> str:
    """An error in words that any store takes: without NUL and surrogates, of bounded length."""
    text = f"{type(error).__name__}: {error}"[:SAID_MAX].replace("\0", "\\x00")
    return text.encode("utf-8", "backslashreplace").decode()
