"""What many runs came to: orders, states, faults that hit, and the cells of state and message."""

from collections import Counter
from dataclasses import dataclass, field

from chassis.process.settings import FastPath
from chassis.topic_layout import TopicLayout
from simulation.coverage import Cell
from simulation.plan import FAULTS
from simulation.runs import Result


@dataclass(slots=True)
class Summary:
    runs: int = 0
    orders: int = 0
    events: int = 0
    virtual_s: float = 0.0
    states: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    cells: Counter[Cell] = field(default_factory=Counter)
    switches: Counter[tuple[FastPath, bool]] = field(default_factory=Counter)
    layouts: Counter[TopicLayout] = field(default_factory=Counter)
    failures: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        self.runs += 1
        self.orders += sum(result.states.values())
        self.events += result.events
        self.virtual_s += result.virtual_s
        self.states += result.states
        self.hits += result.hits
        self.cells += result.cells
        self.switches += result.switches
        self.layouts += result.layouts
        if result.guarantee:
            self.failures.append(result)

    @property
    def never_hit(self) -> list[str]:
        """Kinds of faults that met nothing: a run that is quiet proves nothing about them."""
        return [kind for kind in FAULTS if not self.hits[kind]]
