"""Deliberate bugs, each the lack of one safeguard: the simulation has to find each for what it breaks."""

from contextlib import AbstractContextManager

from simulation.machine import replaced
from simulation.mutants import lanes, mechanism, origin, rules, stores  # noqa: F401 - they register theirs
from simulation.mutants.mutant import MUTANTS

__all__ = ("MUTANTS", "switched_on")


def switched_on(name: str) -> AbstractContextManager[None]:
    """One bug while it lasts; none for ""."""
    return replaced(*(MUTANTS[name].places() if name else ()))
