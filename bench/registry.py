"""The scenarios by name, in the order in which they are run, and about how long each takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from bench.scenarios import scaled, steady, troubled
from bench.session import Bench
from bench.tables import Table


class ScenarioResult(Protocol):
    def table(self) -> Table: ...


@dataclass(frozen=True, slots=True)
class Scenario:
    """`minutes` with the usual options on two cores."""

    run: Callable[[Bench], ScenarioResult]
    minutes: float
    is_usual: bool = False
    is_alone: bool = False
    """On servers of its own."""


SCENARIOS: Final = {
    "capacity": Scenario(steady.capacity, 2, is_usual=True),
    "latency": Scenario(steady.latency, 1.5, is_usual=True),
    "cost": Scenario(steady.cost, 0.5, is_usual=True),
    "in-flight": Scenario(steady.in_flight, 1),
    "hot": Scenario(steady.hot, 2.5),
    "recovery": Scenario(troubled.recovery, 3, is_usual=True),
    "overload": Scenario(troubled.overload, 2.5, is_usual=True, is_alone=True),
    "drain": Scenario(troubled.drain, 10, is_alone=True),
    "curve": Scenario(scaled.curve, 6, is_alone=True),
    "growth": Scenario(scaled.growth, 30, is_alone=True),
}
USUAL: Final = tuple(name for name, scenario in SCENARIOS.items() if scenario.is_usual)
OWN: Final = frozenset(name for name, scenario in SCENARIOS.items() if scenario.is_alone)
