"""The plan of faults, all of it from a seed: what is done to whom, when, and for how long.

Three tracks run side by side, one fault after the other in each, so that faults meet: one for the
processes, one for their links, one for the servers. A track deals its kinds like cards, so that
each comes up before any comes again.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from chassis.process.settings import FastPath

FaultKind = Literal[
    "kill",
    "pause",
    "stop a service",
    "partition",
    "one-way partition",
    "latency",
    "resets",
    "refuse",
    "swizzle",
    "kill a broker",
    "kill every broker",
    "cut off a broker",
    "kill postgres",
    "kill redis",
]
TRACKS: Final[tuple[dict[FaultKind, tuple[float, float]], ...]] = (
    {"kill": (0, 1), "pause": (5, 15), "stop a service": (60, 60)},
    {
        "partition": (5, 15),
        "one-way partition": (5, 15),
        "latency": (8, 15),
        "resets": (5, 12),
        "refuse": (3, 10),
        "swizzle": (10, 15),
    },
    {
        "kill a broker": (1, 8),
        "kill every broker": (0, 5),
        "cut off a broker": (5, 15),
        "kill postgres": (0, 5),
        "kill redis": (0, 5),
    },
)
"""Each kind with the least and the most seconds that it lasts."""
GAP_S: Final = (1.0, 3.0)
SHARE: Final = 5  # of the whole time, the longest that one fault lasts: a minute of five


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """`targets` are processes or a broker; `ends` the servers to which links are broken."""

    at_s: float
    lasts_s: float
    kind: FaultKind
    targets: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = " ".join(filter(None, (" ".join(self.targets), "from" if self.ends else "")))
        return f"{self.kind} {what} {' '.join(self.ends)}".strip() + f" for {self.lasts_s:.1f} s"


@dataclass(frozen=True, slots=True)
class Parts:
    """Targets of faults: processes with the servers that each talks to, and brokers."""

    talks_to: dict[str, tuple[str, ...]]
    brokers: tuple[str, ...]

    def of_service(self, service: str) -> tuple[str, ...]:
        return tuple(name for name in self.talks_to if name.startswith(f"{service}-"))

    @property
    def services(self) -> list[str]:
        return sorted({name.rpartition("-")[0] for name in self.talks_to})


def plan(seed: int, seconds: float, parts: Parts) -> list[PlannedFault]:
    """Faults by their time; each is over when the time is."""
    rng = random.Random(seed)  # noqa: S311 - a plan, no secret
    faults = [fault for track in TRACKS for fault in _track(rng, track, seconds, parts)]
    return sorted(faults, key=lambda fault: fault.at_s)


def fast_paths(seed: int, services: Iterable[str]) -> dict[str, str]:
    """The setting X_FAST_PATHS of each service; from a random stream of its own.

    A trial has all of them in all services, none in any, or a choice of each service's own.
    """
    rng = random.Random(f"{seed}/fast paths")  # noqa: S311 - a plan, no secret
    some = [rng.sample(list(FastPath), count) for count in range(1, len(FastPath))]
    choices = ("all", "none", *(",".join(sorted(paths)) for paths in some))
    own = {service: rng.choice(choices) for service in services}
    everywhere = rng.choice(("all", "none", "", ""))
    return {service: everywhere or paths for service, paths in own.items()}


def track_of(fault: PlannedFault) -> int:
    return next(number for number, track in enumerate(TRACKS) if fault.kind in track)


def _track(
    rng: random.Random, kinds: dict[FaultKind, tuple[float, float]], seconds: float, parts: Parts
) -> list[PlannedFault]:
    faults: list[PlannedFault] = []
    cards: list[FaultKind] = []
    at_s = rng.uniform(*GAP_S)
    while True:
        cards = cards or rng.sample(list(kinds), len(kinds))
        kind = cards.pop()
        lasts_s = min(rng.uniform(*kinds[kind]), seconds / SHARE)
        if at_s + lasts_s > seconds:
            return faults
        faults.append(PlannedFault(at_s, lasts_s, kind, *_whom(rng, kind, parts)))
        at_s += lasts_s + rng.uniform(*GAP_S)


def _whom(
    rng: random.Random, kind: FaultKind, parts: Parts
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    match kind:
        case "kill" | "pause":
            return (rng.choice(list(parts.talks_to)),), ()
        case "stop a service":
            return parts.of_service(rng.choice(parts.services)), ()
        case "partition" | "one-way partition" | "resets" | "refuse":
            targets = _one_or_all(rng, parts)
            return targets, (rng.choice(parts.talks_to[targets[0]]),)
        case "latency":
            targets = _one_or_all(rng, parts)
            return targets, parts.talks_to[targets[0]]
        case "swizzle":
            count = len(parts.talks_to) // 2
            return tuple(rng.sample(list(parts.talks_to), count)), ("kafka",)
        case "kill a broker" | "cut off a broker":
            return (rng.choice(parts.brokers),), ()
        case "kill every broker":
            return parts.brokers, ()
        case "kill postgres" | "kill redis":
            return (), ()


def _one_or_all(rng: random.Random, parts: Parts) -> tuple[str, ...]:
    """One process of a service, or both."""
    service = rng.choice(parts.services)
    names = parts.of_service(service)
    return names if rng.random() < 1 / 2 else (rng.choice(names),)
