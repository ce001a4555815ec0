"""Files that are made from the code are as the code is."""

from pathlib import Path

import pytest

from simulation.mutants import MUTANTS
from simulation.plan import FAULTS
from tests.architecture.test_tidy import ROOT
from tests.docs_pages import MADE
from tests.made_parts import between_marks


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.name)
def test_a_file_that_is_made_is_fresh(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == MADE[path](), "run python -m tests.docs_pages"


def test_a_file_without_its_marks_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text("by hand\n")
    with pytest.raises(ValueError, match="has 0 parts between marks"):
        between_marks(page, "made\n")


def test_the_front_page_counts_faults_and_deliberate_bugs_right() -> None:
    page = (ROOT / "README.md").read_text("utf-8")
    assert f"under {len(FAULTS)} kinds of faults" in page
    assert f"{len(MUTANTS)} deliberate bugs" in page
