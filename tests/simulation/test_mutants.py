"""Every deliberate bug is found by a run that breaks what the bug is expected to break."""

from typing import Any

import pytest

from chassis.outbox.sender import Sender
from simulation import mutants
from simulation.hunt import hunt
from simulation.mutants.mutant import Mutant

SEEDS = 200
"""The hunt is over after these; the first one tried is the one that found it last."""


@pytest.mark.long(2)
@pytest.mark.parametrize("name", mutants.MUTANTS)
def test_a_deliberate_bug_is_found_for_what_it_breaks(name: str) -> None:
    found = hunt(name, SEEDS)
    assert found.error == ""
    assert found.found is not None
    print(f"{name}: seed {found.found.plan.seed}, {found.found.what}")


def test_what_each_deliberate_bug_replaces_is_there() -> None:
    """A name that was moved or renamed shows at once, not when all bugs are hunted."""
    for mutant in mutants.MUTANTS.values():
        for owner, name, changed in mutant.places():
            assert getattr(owner, name) is not changed, mutant.name


def tried(monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> str:
    monkeypatch.setitem(mutants.MUTANTS, mutant.name, mutant)
    result = hunt(mutant.name, 1)
    assert result.found is None
    return result.error


def test_one_that_breaks_something_else_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    known = mutants.MUTANTS["cancelled-too-soon"]
    other = Mutant("other", "", known.places, ("G9",))
    assert "did not break G9; seed 1: G3" in tried(monkeypatch, other)


def test_one_that_changes_nothing_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nothing did" in tried(monkeypatch, Mutant("none", "", list, ("G1",)))


def test_one_that_fails_by_itself_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Production code catches what its parts raise, so that such a bug looks like a standstill."""

    async def sent(_self: Any, _rows: Any) -> None:
        return None

    broken = Mutant("broken", "", lambda: [(Sender, "publish", sent)], ("G1",))
    error = tried(monkeypatch, broken)
    assert "the mutant itself fails" in error
    assert "TypeError" in error
