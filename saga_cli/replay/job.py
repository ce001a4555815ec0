"""What is to be rebuilt, from where, into where; and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from saga_cli.log.source import LogPartition
from saga_cli.targets import Targets


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
