"""Orders grouped by the shape of their causation: what led to what, whatever came first by the clock."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from saga_cli.history.showing import TimelineStep
from saga_cli.observed.cases import Case

RARE: Final = 0.01
"""The share of the orders below which a variant is rare."""


@dataclass(frozen=True, slots=True)
class Variant:
    """`shape` is the tree of event types; children are in the order of their names.

    `number` counts from the most frequent one, `example` is the first order of it.
    """

    number: int
    shape: str
    count: int
    share: float
    example: str
    end: str

    @property
    def is_rare(self) -> bool:
        return self.share < RARE


@dataclass
class Variants:
    """Cases are added one after the other; those that are no orders are passed over."""

    _examples: dict[str, Case] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, cases: Iterable[Case]) -> None:
        for case in cases:
            if case.is_order:
                shape = shape_of(case.steps)
                self._counts[shape] = self._counts.get(shape, 0) + 1
                self._examples.setdefault(shape, case)

    @property
    def orders(self) -> int:
        return sum(self._counts.values())

    def found(self) -> list[Variant]:
        """The most frequent one first."""
        ordered = sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return [
            Variant(number, shape, count, count / self.orders, *_example(self._examples[shape]))
            for number, (shape, count) in enumerate(ordered, 1)
        ]


def _example(case: Case) -> tuple[str, str]:
    """Its order, and the last event of that order's owner: how it ended."""
    owner = case.steps[0].service
    own = [step for step in case.steps if step.service == owner]
    return case.subject, max(own, key=lambda step: step.envelope.sequence).envelope.type


def shape_of(steps: Iterable[TimelineStep]) -> str:
    """The tree as text: `a (b (c), d)`: a led to b and d, b to c."""
    children: dict[int, list[TimelineStep]] = {}
    for step in steps:
        children.setdefault(step.cause, []).append(step)

    def below(number: int) -> str:
        return ", ".join(sorted(f"{s.envelope.type}{inside(s.number)}" for s in children[number]))

    def inside(number: int) -> str:
        return f" ({below(number)})" if number in children else ""

    return below(0)
