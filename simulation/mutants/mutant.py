"""A deliberate bug, what brings it to light, and what it breaks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from simulation.machine import PatchedAttribute


@dataclass(frozen=True, slots=True)
class Mutant:
    """`breaks` are the guarantees that a run has to find broken; any other doesn't count.

    `faults` are the kinds to have in its runs; without any, a run without faults shows it.
    `seed` found it last, and is tried first; so many `orders` come within `arrive_s` virtual seconds.
    With `topics` a system moves to lanes, where it is in a move that the bug shows.
    """

    name: str
    what: str
    places: Callable[[], Sequence[PatchedAttribute]]
    breaks: tuple[str, ...]
    faults: tuple[str, ...] = ()
    seed: int = 1
    orders: int = 10
    arrive_s: float = 1.5
    topics: Literal["lanes", "moves"] = "lanes"


MUTANTS: Final[dict[str, Mutant]] = {}


def bug(
    what: str, *breaks: str, at: tuple[Any, str] | None = None, **how: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as a mutant of its own name; `how` are other fields of Mutant.

    It stands in for the function `at` a place, and gets that before the arguments; without `at`,
    it gets nothing and returns all places.
    """

    def register(change: Callable[..., Any]) -> Callable[..., Any]:
        def places() -> Sequence[PatchedAttribute]:
            found: Sequence[PatchedAttribute] = [instead_of(*at, change)] if at else change()
            return found

        name = change.__name__.replace("_", "-")
        MUTANTS[name] = Mutant(name, what, places, breaks, **how)
        return change

    return register


def instead_of(owner: Any, name: str, change: Callable[..., Any]) -> PatchedAttribute:
    """A place where `change` is called with what stood there, and with the arguments."""
    original = getattr(owner, name)

    def changed(*args: Any, **more: Any) -> Any:
        return change(original, *args, **more)

    return owner, name, changed
