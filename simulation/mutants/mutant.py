"""A deliberate bug and what brings it to light."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Place: TypeAlias = tuple[Any, str, Any]
"""A module or class, the name in it, and what stands there while the bug is switched on."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`faults` are the kinds to have in its runs; without any, a correct day shows it."""

    name: str
    what: str
    places: Callable[[], Sequence[Place]]
    faults: tuple[str, ...] = ()
