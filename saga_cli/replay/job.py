"""What is to be rebuilt, from where, into where; and what became of it."""

from dataclasses import dataclass, field
from typing import Final

from chassis.events import topic_of
from saga_cli.log.opened import opened
from saga_cli.log.source import Limit, LogPartition, Source, Span
from saga_cli.targets import Targets

NOT_PUBLISHED: Final = (
    "events in its outbox are not in the log yet: start the service until they are published, "
    "or rebuild into a new store without them"
)


class ReplayError(Exception):
    """It is refused, or can't go on; nothing that a service needs was touched."""


@dataclass(frozen=True, slots=True)
class Job:
    """`in_place` empties what the log can fill again; `copy` is for looking, not to go on with.

    The offsets of `limit` are by the numbers of partitions of the service's own topic. With `over_holes`
    an order's events are folded without those that the log lacks between them.
    """

    service: str
    url: str
    places: Targets
    in_place: bool = False
    copy: bool = False
    limit: Limit = field(default_factory=Limit)
    archive: str = ""
    jobs: int = 1
    over_holes: bool = False

    @property
    def up_to(self) -> str:
        """The limit as text; "" for the end of the log."""
        if self.limit.instant is not None:
            return self.limit.instant.isoformat()
        offsets = self.limit.offsets
        return ",".join(f"{number}={offsets[number]}" for number in sorted(offsets, key=int))

    def opened(self) -> Source:
        return opened(self.places, self.archive)

    async def spans(self, source: Source) -> dict[LogPartition, Span]:
        """Of the service's own topic, from its first record up to the limit.

        Raises ReplayError for a partition that it has not.
        """
        topic, offsets = topic_of(self.service), self.limit.offsets
        ends = {place: span.end for place, span in (await source.spans([topic])).items()}
        if self.limit.instant is not None:
            ends |= await source.offsets_at(self.limit.instant, ends)
        if unknown := offsets.keys() - {str(place.partition) for place in ends}:
            raise ReplayError(f"{topic} has no partition {min(unknown, key=int)}")
        return {p: Span(0, min(end, offsets.get(str(p.partition), end))) for p, end in ends.items()}


@dataclass(frozen=True, slots=True)
class PartitionJob:
    """The records of one partition."""

    job: Job
    place: LogPartition
    span: Span

    @property
    def length(self) -> int:
        return self.span.end - self.span.start


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
