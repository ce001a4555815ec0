"""Deliberate bugs, each the lack of one safeguard: the simulation has to find each for what it breaks."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from simulation.machine import replaced
from simulation.mutants import mechanism, rules, stores  # noqa: F401 - they register theirs
from simulation.mutants.mutant import MUTANTS

__all__ = ("MUTANTS", "switched_on")


@contextmanager
def switched_on(name: str) -> Iterator[None]:
    with ExitStack() as kept:
        for place in MUTANTS[name].places():
            kept.enter_context(replaced(*place))
        yield
