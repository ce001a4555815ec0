"""Plans that broke a guarantee: kept in a file, and run before any other."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

from pydantic_core import from_json, to_json

from simulation.plan import Plan

KEPT_MAX: Final = 50


class FoundSeed(NamedTuple):
    """`found` is the guarantee that the plan broke, and how."""

    plan: Plan
    found: str

    def to_json(self) -> str:
        return to_json({**asdict(self.plan), "found": self.found}).decode()

    @classmethod
    def of_json(cls, text: str) -> Self:
        return cls(Plan.of_json(text), from_json(text).get("found", ""))


@dataclass(frozen=True, slots=True)
class FoundSeeds:
    """One a line; those in `tests/simulation/found.jsonl` are of fixed bugs."""

    path: Path

    @classmethod
    def here(cls) -> Self:
        """Of this working folder."""
        return cls(Path(".saga/simulation/found.jsonl"))

    def __iter__(self) -> Iterator[FoundSeed]:
        if self.path.exists():
            yield from map(FoundSeed.of_json, self.path.read_text().splitlines())

    def keep(self, seed: FoundSeed) -> None:
        others = [known for known in self if known.plan != seed.plan]
        lines = [known.to_json() for known in (seed, *others)[:KEPT_MAX]]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(f"{line}\n" for line in lines))
