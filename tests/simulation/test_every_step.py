"""R1, enumerated: a process dies at every single step on the way of two orders, one of them undone.

Every other step with all fast paths, and those between with none: the time of these runs is all CPU.
"""

from dataclasses import replace
from typing import Literal

import pytest

from simulation.plan import Plan
from simulation.runs import run

pytestmark = pytest.mark.long(10)

PARTS = 4
QUIET = Plan(6, 2, {}, arrive_s=0.2, refuses_refunds=False)
RUNS = [("all", 0), ("all", 2), ("none", 1), ("none", 3)]


@pytest.mark.parametrize(("fast_paths", "part"), RUNS)
def test_a_death_at_any_statement_call_or_commit_breaks_no_guarantee(
    fast_paths: Literal["all", "none"], part: int
) -> None:
    """Before each statement, after each commit whose reply is lost, and around each call."""
    quiet = replace(QUIET, fast_paths=fast_paths)
    undisturbed = run(quiet)
    assert undisturbed.what == ""
    assert undisturbed.states == {"Confirmed": 1, "Cancelled": 1}
    assert undisturbed.cuts > 200
    broken = {}
    for step in range(1 + part, undisturbed.cuts + 1, PARTS):
        result = run(replace(quiet, cut=step))
        assert result.cuts >= step, "nothing was cut"
        if result.guarantee:
            broken[step] = result.what
    print(f"{undisturbed.cuts} steps, each of them the last of its process")
    assert broken == {}
