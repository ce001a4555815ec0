"""The simulation itself: the same for the same seed, able to fail, and quick to show why."""

import gc
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from chassis.message import OutboxRow
from chassis.topic_layout import TopicLayout
from saga_cli.simulate import trace
from shared_events.catalog import CATALOG
from simulation import machine
from simulation.checks import Watch
from simulation.found import FoundSeed, FoundSeeds
from simulation.nodes import SERVICES
from simulation.plan import FAST_PATHS, FAULTS, Plan
from simulation.process import Process
from simulation.runs import run, shrunk
from simulation.system import simulated
from simulation.verdict import records

FOUND = FoundSeeds(Path(__file__).parent / "found.jsonl")
MOVES = (1, 2, 4, 6, 13)
HASTY = 1
STORMY = Plan(7, 60, dict.fromkeys(FAULTS, 0.5))
BUSY = """
from pathlib import Path
import sys
from simulation.plan import Plan
from simulation.runs import run
result = run(Plan.of_json(sys.argv[1]), keep_log=True)
Path(sys.argv[2]).write_text("\\n".join(result.log))
"""


@pytest.mark.long(4)
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


@pytest.mark.long(2)
def test_nothing_of_a_run_is_left_in_memory() -> None:
    """The garbage of a hundred thousand orders took gigabytes, as no collection looked for it."""
    run(Plan.drawn(9, 20))
    assert [x for x in gc.get_objects() if isinstance(x, Process)] == []


@pytest.mark.long(3)
def test_another_seed_is_another_run() -> None:
    assert run(replace(STORMY, seed=8)).digest != run(STORMY).digest


@pytest.mark.long(2)
@pytest.mark.parametrize("fast_paths", ["all", "none", "mixed"])
def test_each_process_has_the_fast_paths_that_its_run_draws(
    fast_paths: Literal["all", "none", "mixed"],
) -> None:
    result = run(replace(STORMY, fast_paths=fast_paths))
    assert result.what == ""
    positions = {"all": {True}, "none": {False}, "mixed": {True, False}}[fast_paths]
    assert set(result.switches) == {(path, on) for path in FAST_PATHS for on in positions}


def test_fast_paths_are_drawn_apart_from_all_else() -> None:
    plans = [Plan.drawn(seed, 10) for seed in range(20)]
    assert {plan.fast_paths for plan in plans} == {"all", "none", "mixed"}
    assert Plan.drawn(8, 1).fast_paths == Plan.drawn(8, 1).fast_paths


@pytest.mark.long(1)
@pytest.mark.parametrize("seed", MOVES)
def test_a_system_that_moves_to_lanes_under_faults_keeps_every_guarantee(seed: int) -> None:
    with simulated(replace(Plan.drawn(seed, 60), topics="moves")) as system:
        machine.silence(system.bugs)
        system.run()
        assert set(system.layouts) == set(TopicLayout)
        assert system.move.left() == ""
        written = {t for s in SERVICES for t in CATALOG.log_of(s) if any(records(system, t))}
        before = {topic for entry in CATALOG.entries for topic in entry.former}
        assert written & before
        assert written - before


@pytest.mark.long(2)
def test_who_reads_lanes_alone_refuses_to_start_while_topics_of_before_are_unread() -> None:
    with simulated(replace(Plan.drawn(HASTY, 60), topics="moves")) as system:
        machine.silence(system.bugs)
        system.run()
        assert system.move.refused
        assert system.move.left() == ""


@pytest.mark.long(2)
def test_whether_a_system_moves_is_drawn_apart_from_all_else() -> None:
    plans = [Plan.drawn(seed, 10) for seed in range(20)]
    assert {plan.topics for plan in plans} == {"lanes", "moves"}
    assert run(Plan.drawn(1, 20)).layouts.keys() == {TopicLayout.LANES}


@pytest.mark.long(3)
@pytest.mark.parametrize("seed", list(FOUND), ids=lambda seed: f"seed {seed.plan.seed}")
def test_what_was_found_once_is_fixed(seed: FoundSeed) -> None:
    assert re.fullmatch(r"G[1-9]: .{20,}", seed.found)
    assert run(seed.plan).what == ""


@pytest.mark.long(5)
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
    found = FoundSeeds(tmp_path / "found.jsonl")
    found.keep(FoundSeed(Plan(1), "G1 one"))
    found.keep(FoundSeed(Plan(2), "G2 two"))
    found.keep(FoundSeed(Plan(1), "G3 three"))
    assert list(found) == [FoundSeed(Plan(1), "G3 three"), FoundSeed(Plan(2), "G2 two")]


def test_a_dead_letter_is_checked_whatever_its_other_headers_hold() -> None:
    """A check that raises would look like a commit that failed."""
    place = [("dlq_topic", b"stock.forward"), ("dlq_partition", b"3"), ("dlq_offset", b"6")]
    copy = OutboxRow("payment.dead-letters", "o-1", b"", [("ce_source", b"\xff"), *place])
    watch = Watch()
    watch.copies("payment", [copy], {("stock.forward", 3, 6)})
    assert watch.violations == []
    watch.copies("payment", [copy], {("stock.forward", 3, 7)})
    assert [violation.guarantee for violation in watch.violations] == ["I9"]
