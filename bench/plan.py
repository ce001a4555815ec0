"""What one load is: who asks for how much, and when. It travels to the generator as JSON."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import TypeAdapter

from bench.orders import Shape


@dataclass(frozen=True, slots=True)
class LoadPhase:
    """So many orders a second, for so long."""

    rate: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """An open loop through `phases`, or, without any, a closed loop of `orders` with `in_flight`.

    In a closed loop an order is in flight until it is settled. What was due in the first `warm_s`
    is in no percentile. The generator gives up when nothing has settled for `patience_s`.
    """

    urls: tuple[str, ...]
    kafka: str
    phases: tuple[LoadPhase, ...] = ()
    orders: int = 0
    in_flight: int = 0
    arrivals: Literal["poisson", "steady"] = "poisson"
    shape: Shape = "mixed"
    seed: int = 1
    connections: int = 512
    warm_s: float = 0.0
    patience_s: float = 60.0

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)


PLAN: Final = TypeAdapter(LoadPlan)


def schedule(plan: LoadPlan) -> Iterator[float]:
    """The seconds after the start at which an order is due, whatever became of those before it."""
    dice, begun = random.Random(plan.seed), 0.0  # noqa: S311 - arrivals, no secret
    for phase in plan.phases:
        due, end = begun, begun + phase.seconds
        while True:
            gap = dice.expovariate(phase.rate) if plan.arrivals == "poisson" else 1 / phase.rate
            due += gap
            if due >= end:
                break
            yield due
        begun = end
