"""The log as `saga verify` reads it, what was compared, and what of it differs."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic_core import to_json

from chassis.events import Envelope, MalformedError
from chassis.message import OutboxRow, Record
from saga_cli.log.reader import position_of
from saga_cli.log.source import LogPartition, Source
from shared_events.codec import decode

Ends: TypeAlias = Mapping[LogPartition, int]


@dataclass(frozen=True, slots=True)
class Difference:
    service: str
    key: str
    what: str
    live: str = ""
    rebuilt: str = ""


@dataclass(slots=True)
class ServiceResult:
    """`newer` events are of after the cut; `notes` say what was left out, and why."""

    service: str
    orders: int = 0
    events: int = 0
    rows: int = 0
    newer: int = 0
    seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def differ(self, key: str, what: str, live: str = "", rebuilt: str = "") -> None:
        self.differences.append(Difference(self.service, key, what, live, rebuilt))

    def unreadable(self, record: Record, error: MalformedError) -> None:
        what = f"the record at {position_of(record)} can't be read"
        self.differ(record.subject, what, rebuilt=str(error))


def follows_nothing(envelope: Envelope, error: Exception) -> tuple[str, str, str]:
    """`what`, `live` and `rebuilt` of a difference: the rules can't fold this event."""
    return "the log makes no sense", "", f"{envelope.type} can't follow: {error}"


def apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, str]:
    """The fields in which they differ, of each as JSON."""
    names = [n for n in {**one, **other} if one.get(n) != other.get(n)]
    return _json(one, names), _json(other, names)


def _json(fields: Mapping[str, Any], names: list[str]) -> str:
    return to_json({name: fields[name] for name in names if name in fields}).decode()


async def ends_of(source: Source, topics: Iterable[str]) -> dict[LogPartition, int]:
    return {place: span.end for place, span in sorted((await source.spans(topics)).items())}


def pending_events(topics: Collection[str], rows: Iterable[OutboxRow]) -> Iterator[Envelope]:
    return (decode(row.value, row.headers) for row in rows if row.topic in topics)
