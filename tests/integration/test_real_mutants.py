"""Every bug of the real stores is found by the tests that are there to find it."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from saga_cli import real_mutants
from saga_cli.real_mutants import FAILED, ROOT, RUN_S, MutantVerdict, run_tests, verdicts
from saga_cli.topology import SERVICES, Addresses
from simulation.edits.real import EDITS
from simulation.edits.swap import changes_functions_only
from tests.support.forking import Forks
from tests.support.servers import private_servers

pytestmark = pytest.mark.long(80)

LIBRARIES: Final = (
    *("_pytest.*", "hypothesis", "_hypothesis_pytestplugin", "pytest_asyncio.plugin"),
    *("pytest_timeout", "xdist.looponfail", "xdist.plugin"),
    *("lupa", "psutil", "pydantic_settings", "rich.table", "typer.testing", "valkey.asyncio"),
    *("textual.app", "xdist.scheduler", "shared_events.*"),
)
"""What pytest and the tests load, and no bug is in."""
PRODUCT: Final = (
    *("chassis.*", "guarantees.*", "console.*", "saga_cli.*", "simulation.system"),
    *(f"{spec.name}_svc.*" for spec in SERVICES),
    *("tests.support.*", "simulation.edits.swap:note_loaded"),
)
IN_PLACE: Final = tuple(name for name, edit in EDITS.items() if changes_functions_only(edit))
ALL: Final = {
    "in place": (IN_PLACE, (*LIBRARIES, *PRODUCT)),
    "loaded anew": (tuple(name for name in EDITS if name not in IN_PLACE), LIBRARIES),
}
"""Which bugs a process forked from one that has loaded so much is given.

All is loaded before the first fork where a bug is put into functions that are loaded already.
"""
LOADED_BEFORE: Final = "ignore::pytest.PytestAssertRewriteWarning"


@pytest.fixture(scope="module")
def own() -> Iterator[Addresses]:
    """What bugs leave behind is in nobody's way."""
    with private_servers() as servers:
        yield servers.addresses


@pytest.mark.parametrize("how", ALL)
def test_every_bug_of_the_real_stores_is_found(
    own: Addresses, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, loaded = ALL[how]
    forks, output = Forks(*loaded), tmp_path / "output"

    def run(words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        output.write_text("")
        words = [*words, "-W", LOADED_BEFORE]
        child = forks.fork(words=words, env=dict(environment), cwd=str(ROOT), log=str(output))
        try:
            return child.wait(RUN_S) or 0, output.read_text()
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            raise

    monkeypatch.setattr(real_mutants, "run_alone", run)
    found = list(verdicts(names, own))
    assert [verdict for verdict in found if verdict.error] == []
    assert found == [MutantVerdict(name) for name in names]


def test_a_bug_that_keeps_a_test_from_its_end_is_found(
    own: Addresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever holds it up: a loop that swallows every cancellation, or a thread that nobody ends."""
    test = tmp_path / "test_without_end.py"
    test.write_text("import threading\n\ndef test_it():\n    threading.Event().wait()\n")
    monkeypatch.setattr(real_mutants, "TEST_S", 0.5)
    code, output = run_tests([str(test)], own)
    assert (code, "Timeout" in output) == (FAILED, True)


def test_a_run_without_an_end_is_an_error_of_that_bug_alone(
    own: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        if environment["SAGA_MUTANT"] == IN_PLACE[0]:
            raise subprocess.TimeoutExpired("pytest", RUN_S)
        return (FAILED if environment["SAGA_MUTANT"] else 0), ""

    monkeypatch.setattr(real_mutants, "run_alone", run)
    first, second = verdicts(IN_PLACE[:2], own)
    assert (first.name, f"no end in {RUN_S} s" in first.error) == (IN_PLACE[0], True)
    assert second == MutantVerdict(IN_PLACE[1])


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_fits_its_file(name: str) -> None:
    """One that no longer fits is an error of its own, not a bug that was found."""
    edit = EDITS[name]
    source = (ROOT / edit.file).read_text()
    assert edit.of(source) != source
    with pytest.raises(ValueError, match="not once"):
        edit.of("")
