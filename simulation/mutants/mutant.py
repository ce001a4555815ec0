"""A deliberate bug, what brings it to light, and what it breaks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Place: TypeAlias = tuple[Any, str, Any]
"""A module or class, the name in it, and what stands there while the bug is switched on."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`breaks` are the guarantees that a run has to find broken; any other doesn't count.

    `faults` are the kinds to have in its runs; without any, a run without faults shows it.
    `seed` found it last, and is tried first; the orders come within `arrive_s` virtual seconds.
    """

    name: str
    what: str
    places: Callable[[], Sequence[Place]]
    breaks: tuple[str, ...]
    faults: tuple[str, ...] = ()
    seed: int = 1
    arrive_s: float = 1.5
