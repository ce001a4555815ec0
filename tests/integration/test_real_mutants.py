"""Every bug of the real stores is found by the tests that are there to find it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from saga_cli import real_mutants
from saga_cli.real_mutants import ROOT, RUN_S, MutantVerdict, verdicts
from saga_cli.topology import Addresses
from simulation.edits.real import EDITS
from tests.support.forking import Forks
from tests.support.servers import private_servers

pytestmark = pytest.mark.long(80)

LOADED = (
    *("pytest", "hypothesis", "schemathesis.pytest.plugin", "pytest_asyncio", "pytest_timeout"),
    *("lupa", "psutil", "pydantic_settings", "rich.table", "typer.testing", "valkey.asyncio"),
    *("xdist.scheduler", "shared_events.*"),
)
"""Before the first fork: what pytest and the tests load, and no bug is in."""
LOADED_BEFORE = "ignore::pytest.PytestAssertRewriteWarning"


@pytest.fixture(scope="module")
def own() -> Iterator[Addresses]:
    """What bugs leave behind is in nobody's way."""
    with private_servers() as servers:
        yield servers.addresses


@pytest.mark.timeout(900)
def test_every_bug_of_the_real_stores_is_found(
    own: Addresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forks, output = Forks(*LOADED), tmp_path / "output"

    def run(words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        output.write_text("")
        words = [*words, "-W", LOADED_BEFORE]
        child = forks.fork(words=words, env=dict(environment), cwd=str(ROOT), log=str(output))
        return child.wait(RUN_S) or 0, output.read_text()

    monkeypatch.setattr(real_mutants, "run_alone", run)
    found = list(verdicts(list(EDITS), own))
    assert [verdict for verdict in found if verdict.error] == []
    assert found == [MutantVerdict(name) for name in EDITS]


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_fits_its_file(name: str) -> None:
    """One that no longer fits is an error of its own, not a bug that was found."""
    edit = EDITS[name]
    source = (ROOT / edit.file).read_text()
    assert edit.of(source) != source
    with pytest.raises(ValueError, match="not once"):
        edit.of("")
