"""What is to be rebuilt, from where, into where; and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from saga_cli.log.opened import opened
from saga_cli.log.source import Limit, LogPartition, Source, Span
from saga_cli.targets import Targets
from saga_cli.terminal import plain
from shared_events.catalog import CATALOG

NOT_PUBLISHED: Final = (
    "events in its outbox are not in the log yet: start the service until they are published, "
    "or rebuild into a new store without them"
)


class ReplayError(Exception):
    """It is refused, or can't go on; nothing that a service needs was touched."""


@dataclass(frozen=True, slots=True)
class Job:
    """`in_place` empties what the log can fill again; `copy` is for looking, not to go on with.

    The offsets of `limit` are by the names of partitions of the service's own topics. With `over_holes`
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
        return ",".join(f"{place}={offsets[place]}" for place in sorted(offsets))

    def opened(self) -> Source:
        return opened(self.places, self.archive)

    async def spans(self, source: Source) -> dict[LogPartition, Span]:
        """Of the service's own topics, from their first records up to the limit.

        Raises ReplayError for a partition that they have not.
        """
        topics, offsets = CATALOG.log_of(self.service), self.limit.offsets
        ends = {place: span.end for place, span in (await source.spans(topics)).items()}
        if self.limit.instant is not None:
            ends |= await source.offsets_at(self.limit.instant, ends)
        if unknown := offsets.keys() - set(map(str, ends)):
            raise ReplayError(f"{self.service} has no partition {plain(min(unknown))}")
        return {p: Span(0, min(end, offsets.get(str(p), end))) for p, end in ends.items()}


@dataclass(frozen=True, slots=True)
class PartitionJob:
    """The records of partitions that hold all of their keys: one of so many `parts` of the log."""

    job: Job
    spans: Mapping[LogPartition, Span]
    parts: int = 1

    @property
    def length(self) -> int:
        return sum(span.end - span.start for span in self.spans.values())

    @property
    def topics(self) -> set[str]:
        return {place.topic for place in self.spans}


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
