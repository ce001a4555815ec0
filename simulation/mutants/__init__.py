"""Deliberate bugs, each the lack of one safeguard: the simulation has to find each for what it breaks."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from simulation.machine import replaced
from simulation.mutants import mechanism, rules, stores
from simulation.mutants.mutant import Mutant

MUTANTS: Final[dict[str, Mutant]] = {
    mutant.name: mutant for mutant in (*rules.MUTANTS, *mechanism.MUTANTS, *stores.MUTANTS)
}


@contextmanager
def switched_on(name: str) -> Iterator[None]:
    with ExitStack() as kept:
        for place in MUTANTS[name].places():
            kept.enter_context(replaced(*place))
        yield
