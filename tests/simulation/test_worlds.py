"""The simulation itself: the same for the same seed, able to fail, and quick to show why."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from saga_cli.simulate import trace
from simulation.found import FoundSeed
from simulation.plan import FAULTS, Plan
from simulation.runs import run, shrunk

FOUND = FoundSeed(Path(__file__).parent / "found.jsonl")
STORMY = Plan(7, 60, dict.fromkeys(FAULTS, 0.5))
BUSY = """
from pathlib import Path
import sys
from simulation.plan import Plan
from simulation.runs import run
result = run(Plan.of_json(sys.argv[1]), keep_log=True)
Path(sys.argv[2]).write_text("\\n".join(result.log))
"""


def test_two_runs_of_a_seed_are_the_same_byte_for_byte(tmp_path: Path) -> None:
    """In two processes whose hashes differ, so that no order of a set can be behind it."""
    logs = [tmp_path / "first", tmp_path / "second"]
    for number, log in enumerate(logs, 1):
        environment = {**os.environ, "PYTHONHASHSEED": str(number)}
        command = [sys.executable, "-c", BUSY, STORMY.to_json(), str(log)]
        subprocess.run(command, env=environment, check=True, timeout=120)
    first, second = (log.read_bytes() for log in logs)
    assert first.count(b"\n") > 500
    assert first == second


def test_another_seed_is_another_run() -> None:
    assert run(replace(STORMY, seed=8)).digest != run(STORMY).digest


@pytest.mark.parametrize("plan", list(FOUND.plans()), ids=lambda plan: f"seed {plan.seed}")
def test_what_was_found_once_is_mended(plan: Plan) -> None:
    assert run(plan).what == ""


@pytest.mark.long
def test_a_failure_is_made_small_and_says_how_to_repeat_it() -> None:
    faults = dict.fromkeys(("delay", "kill", "unknown-outcome"), 0.8)
    plan = Plan(3, 80, faults, mutant="key-of-each-try")
    failed = run(plan)
    assert failed.guarantee == "G4"
    small, tried = shrunk(plan, "G4", tries=25)
    assert tried <= 25
    assert small.orders < plan.orders
    assert set(small.faults) < set(plan.faults)
    again = run(Plan.of_json(small.to_json()), keep_log=True)
    assert again.guarantee == "G4"
    assert any(line in again.log for line in trace(again))


def test_failing_plans_are_kept_and_come_first(tmp_path: Path) -> None:
    found = FoundSeed(tmp_path / "found.jsonl")
    found.keep(Plan(1))
    found.keep(Plan(2))
    found.keep(Plan(1))
    assert list(found.plans()) == [Plan(1), Plan(2)]
