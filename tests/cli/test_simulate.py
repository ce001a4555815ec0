"""`saga simulate` and `saga mutants`: what they print, and how they end."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from saga_cli.main import app
from simulation import coverage
from simulation.plan import Plan


def saga(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--faults", "earthquake"), "no such fault: earthquake"),
        (("--plan", "7"), "not a plan"),
        (("--plan", '{"seed":1,"faults":{"earthquake":1}}'), "no such fault: earthquake"),
        (("--plan", '{"seed":1,"mutant":"typo"}'), "no such mutant: typo"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(
    words: tuple[str, str], why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    result = saga("simulate", *words)
    assert result.exit_code == 2
    outcome = result.stderr.splitlines()
    assert len(outcome) == 1
    assert why in outcome[0]


def test_a_plan_is_run_again_with_its_log(tmp_path: Path) -> None:
    plan, log = Plan(3, 20), tmp_path / "log"
    result = saga("simulate", "--plan", plan.to_json(), "--log", str(log))
    assert result.exit_code == 0
    assert "no violation" in result.stdout
    assert log.read_text().count("order.placed.v1") >= 20


@pytest.mark.long(2)
def test_a_violation_is_told_with_the_command_that_repeats_it(tmp_path: Path) -> None:
    plan = Plan(9, 20, mutant="refund-out-of-order")
    (tmp_path / ".saga/simulation").mkdir(parents=True)
    (tmp_path / ".saga/simulation/found.jsonl").write_text(plan.to_json())
    result = saga("simulate", "--orders", "10", "--jobs", "1")
    assert result.exit_code == 1
    assert "G3 payment.refund_requested.v1" in result.stdout
    again = re.search(r"again: saga simulate --plan '(\{.*\})'", result.stdout)
    assert again is not None
    assert Plan.of_json(again[1]).mutant == "refund-out-of-order"


@pytest.mark.long(3)
def test_a_summary_counts_orders_faults_and_cells() -> None:
    result = saga("simulate", "--orders", "60", "--per-run", "30", "--jobs", "1")
    assert result.exit_code == 0
    assert "60 orders in 2 runs" in result.stdout
    assert "no violation" in result.stdout
    assert "not reached by this run" in result.stdout


@pytest.mark.long(3)
def test_a_long_run_that_leaves_cells_unreached_ends_with_exit_code_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("saga_cli.simulate.LONG_ORDERS", 30)
    result = saga("simulate", "--orders", "30", "--per-run", "30", "--jobs", "1")
    assert result.exit_code == 1
    assert "have to reach or explain every cell" in result.stdout
    few = saga("simulate", "--orders", "30", "--jobs", "1", "--faults", "kill")
    assert few.exit_code == 0


def test_every_explanation_is_of_a_cell_that_there_is() -> None:
    """One that is of none explains nothing, and may hide a name that has changed."""
    nothing_met = coverage.of({})
    reasons = set(nothing_met.explained.values())
    assert reasons >= set(coverage.EXPLAINED.values())
    assert nothing_met.reached == 0
    assert len(nothing_met.missing) + len(nothing_met.explained) == nothing_met.total


@pytest.mark.long(2)
def test_a_mutant_that_is_found_is_in_the_table() -> None:
    result = saga("mutants", "--only", "refund-out-of-order", "--jobs", "1", "--seeds", "3")
    assert result.exit_code == 0
    assert "1 of 1 found within 3 seeds each" in result.stdout
