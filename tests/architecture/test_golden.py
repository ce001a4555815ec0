"""What stands for the past is only ever added to: no golden file is changed or removed."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.test_tidy import ROOT

GOLDEN: Final = (
    *("tests/contract/wire", "tests/contract/logs", "tests/contract/schema"),
    "tests/contract/releases",
)
NOT_ADDED: Final = "--diff-filter=CDMRTUX"


def git(root: Path, *words: str) -> list[str]:
    listed = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if line]


def touched(root: Path) -> list[str]:
    """Golden files that were changed since they came, in any commit or since the last one."""
    if not (root / ".git").exists():
        return []  # an archive of the sources has no past
    then = git(root, "log", NOT_ADDED, "--name-only", "--format=", "--", *GOLDEN)
    now = git(root, "diff", NOT_ADDED, "--name-only", "HEAD", "--", *GOLDEN)
    return sorted({*then, *now})


def test_no_golden_file_was_ever_changed() -> None:
    assert all(any((ROOT / folder).iterdir()) for folder in GOLDEN)
    assert touched(ROOT) == []


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One golden file, committed."""
    path = tmp_path / GOLDEN[0]
    path.mkdir(parents=True)
    (path / "one.json").write_text("1")
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def commit(root: Path) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false")
    git(root, "add", "-A")
    git(root, *who, "commit", "-qm", "x")


def test_a_file_more_is_fine(repository: Path) -> None:
    (repository / GOLDEN[0] / "two.json").write_text("2")
    commit(repository)
    assert touched(repository) == []


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("removed", [True, False])
def test_a_change_is_noticed(repository: Path, *, committed: bool, removed: bool) -> None:
    file = repository / GOLDEN[0] / "one.json"
    if removed:
        file.unlink()
    else:
        file.write_text("2")
    if committed:
        commit(repository)
    assert touched(repository) == [f"{GOLDEN[0]}/one.json"]
