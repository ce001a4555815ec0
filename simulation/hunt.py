"""Deliberate bugs, one by one: a run has to find each, and for what it is expected to break."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from simulation.mutants import MUTANTS
from simulation.plan import Plan
from simulation.runs import Result, run, spread

INTENSITY: Final = 0.8
SETTLE_S: Final = 240.0
"""Enough for what is not broken; the same plan without the bug has to settle in it."""


@dataclass(frozen=True, slots=True)
class Hunt:
    """What came of one mutant: the run that found it, or why none counts."""

    name: str
    found: Result | None
    error: str = ""


def hunted(names: Iterable[str], seeds: int, jobs: int) -> Iterator[Hunt]:
    yield from spread(partial(hunt, seeds=seeds), names, jobs)


def hunt(name: str, seeds: int) -> Hunt:
    """One mutant under its own faults: the seed that found it last, then 1 to `seeds`.

    A run counts if it breaks one of the guarantees that the mutant names, and breaks none without
    the mutant. A programming error in any run is the mutant's own, and ends the hunt.
    """
    mutant = MUTANTS[name]
    faults = dict.fromkeys(mutant.faults, INTENSITY)
    others: list[str] = []
    for seed in dict.fromkeys((mutant.seed, *range(1, seeds + 1))):
        plan = Plan(seed, mutant.orders, faults, mutant.arrive_s, settle_s=SETTLE_S, mutant=name)
        plan = replace(plan, topics=mutant.topics)
        result = run(plan)
        if result.bugs:
            return Hunt(name, None, f"seed {seed}: the mutant itself fails: {result.bugs[0]}")
        if result.guarantee in mutant.breaks:
            sound = run(replace(plan, mutant=""))
            if sound.guarantee:
                return Hunt(name, None, f"seed {seed}: broken without it too: {sound.what}")
            return Hunt(name, result)
        if result.guarantee:
            others.append(f"seed {seed}: {result.what}")
    expected = " or ".join(mutant.breaks)
    return Hunt(name, None, f"did not break {expected}; {others[0] if others else 'nothing did'}")
