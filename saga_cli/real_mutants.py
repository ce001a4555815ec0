"""`saga mutants --real`: bugs in the real stores, which the integration suite has to find."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer
from rich.table import Table

from chassis.secret import overridden
from saga_cli.stack.provision import provide
from saga_cli.terminal import console, fail, named
from saga_cli.topology import Addresses
from simulation.edits import plugin
from simulation.edits.real import EDITS

ROOT: Final = Path(__file__).parents[1]
FAILED: Final = 1  # pytest's exit code where tests ran and some failed
TEST_S: Final = 120
"""A test that a bug keeps from its end has found it: the process then ends as after a failure."""
RUN_S: Final = 600
NOT_ENDED: Final = -1


@dataclass(frozen=True, slots=True)
class MutantVerdict:
    """`error` is "" for a mutant that a test has found."""

    name: str
    error: str = ""


def run_alone(words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Exit code and output of `python -m` in a process of its own."""
    done = subprocess.run(  # noqa: S603 - no shell: pytest of this environment
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def run_tests(tests: Sequence[str], addresses: Addresses, mutant: str = "") -> tuple[int, str]:
    """Exit code and output of pytest, with a bug switched on."""
    outer = {n: text for n, text in os.environ.items() if not n.startswith("PYTEST_")}
    environment = overridden(outer, {**addresses.variables, "SAGA_MUTANT": mutant})
    words = ("pytest", "-x", "-q", "-p", plugin.__name__)
    quiet = ("-p", "no:cacheprovider", "-p", "no:xdist", "--durations=0", "--tb=line")
    ends = ("--timeout", str(TEST_S), "--timeout-method", "thread")
    try:
        return run_alone([*words, *quiet, *ends, *tests], environment)
    except subprocess.TimeoutExpired:
        return NOT_ENDED, f"no end in {RUN_S} s"


def verdicts(names: Sequence[str], addresses: Addresses) -> Iterator[MutantVerdict]:
    """First all the tests without any bug: they have to pass. Then each bug against its own."""
    tests = sorted({test for name in names for test in EDITS[name].tests})
    code, output = run_tests(tests, addresses)
    if code:
        yield MutantVerdict("none", f"without a bug the tests fail: {output[-2000:]}")
        return
    for name in names:
        code, output = run_tests(EDITS[name].tests, addresses, name)
        if code == FAILED:
            yield MutantVerdict(name)
        else:
            why = "NOT FOUND" if code == 0 else f"pytest ended with {code}: {output[-500:]}"
            yield MutantVerdict(name, why)


def edits_of(names: str) -> list[str]:
    return named(names, EDITS, "mutant") or list(EDITS)


def hunt(names: list[str]) -> None:
    """The table of bugs, on servers of their own. Exit code 1 if one is not found."""
    if not (ROOT / "tests" / "integration").is_dir():
        fail("--real runs the repository's own tests: run it in a checkout")
    table = Table("mutant", "where", "found", box=None)
    servers = provide()
    try:
        with console.status("switching bugs on"):
            found = list(verdicts(names, servers.addresses))
    finally:
        servers.stop()
    for verdict in found:
        edit = EDITS.get(verdict.name)
        table.add_row(verdict.name, edit.file if edit else "", verdict.error or "yes")
    console.print(table)
    errors = [verdict for verdict in found if verdict.error]
    console.print(f"{len(found) - len(errors)} of {len(names)} found")
    if errors:
        raise typer.Exit(1)
