"""What is to be rebuilt, from where, into where; and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from saga_cli.log.source import LogPartition, Source, Span
from saga_cli.targets import Targets

NOT_PUBLISHED: Final = (
    "events in its outbox are not in the log yet: start the service until they are published, "
    "or rebuild into a new store without them"
)


class ReplayError(Exception):
    """It is refused, or can't go on; nothing that a service needs was touched."""


@dataclass(frozen=True, slots=True)
class ReplayLimit:
    """A point in time: an instant, or the first offset to leave out by partition. Neither: the end."""

    instant: datetime | None = None
    offsets: Mapping[int, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.instant is not None or bool(self.offsets)

    def __str__(self) -> str:
        if self.instant is not None:
            return self.instant.isoformat()
        return ",".join(f"{part}={offset}" for part, offset in sorted(self.offsets.items()))

    async def spans(self, source: Source, topic: str) -> dict[LogPartition, Span]:
        """Of a service's own topic, from its first record on.

        Raises ReplayError for a partition that it has not.
        """
        spans = await source.spans([topic])
        ends = {place: span.end for place, span in spans.items()}
        if self.instant is not None:
            ends |= await source.offsets_at(self.instant, spans)
        if unknown := self.offsets.keys() - {place.partition for place in spans}:
            raise ReplayError(f"{topic} has no partition {min(unknown)}")
        return {
            place: Span(0, min(end, self.offsets.get(place.partition, end)))
            for place, end in ends.items()
        }


@dataclass(frozen=True, slots=True)
class Job:
    """`in_place` empties what the log can fill again; `copy` is for looking, not to go on with.

    With `over_holes` an order's events are folded without those that the log lacks between them.
    """

    service: str
    url: str
    places: Targets
    in_place: bool = False
    copy: bool = False
    limit: ReplayLimit = field(default_factory=ReplayLimit)
    archive: str = ""
    jobs: int = 1
    over_holes: bool = False


@dataclass(frozen=True, slots=True)
class PartitionJob:
    """The records of one partition before `end`."""

    job: Job
    place: LogPartition
    start: int
    end: int


@dataclass(slots=True)
class Rebuilt:
    """`rewound` are partitions of neighbours' topics that the service will read from the start."""

    service: str
    events: int = 0
    orders: int = 0
    shared: int = 0
    effects: int = 0
    rewound: int = 0
    jobs: int = 1
    seconds: float = 0.0
