"""Plans that broke a guarantee: kept in a file, and run before any other."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from simulation.plan import Plan

KEPT_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class FoundSeed:
    """One plan a line; those in `tests/simulation/found.jsonl` are of bugs that were mended."""

    path: Path

    @classmethod
    def here(cls) -> Self:
        """Of this working folder."""
        return cls(Path(".saga/simulation/found.jsonl"))

    def plans(self) -> Iterator[Plan]:
        if self.path.exists():
            yield from map(Plan.of_json, self.path.read_text().splitlines())

    def keep(self, plan: Plan) -> None:
        plans = [known for known in self.plans() if known != plan]
        lines = [known.to_json() for known in (plan, *plans)[:KEPT_MAX]]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(f"{line}\n" for line in lines))
