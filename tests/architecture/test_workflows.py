"""The workflows: what actionlint says of them, what they may do, and that they run what .ci/run does."""

import re
import sys
from pathlib import Path
from subprocess import run
from typing import Any, Final

import pytest
import yaml

from saga_cli.topology import BY_NAME
from scripts.released import NoReleaseError, released_by
from scripts.shipped import IMAGES
from tests.architecture.test_tidy import ROOT

FOLDER: Final = ROOT / ".github" / "workflows"
FILES: Final = sorted(FOLDER.glob("*.yml"))
ACTIONLINT: Final = Path(sys.executable).with_name("actionlint")
each_file = pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)


def workflow(file: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(file.read_text("utf-8"))
    return found


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(file)["jobs"].values() for step in job["steps"]]


def linted(*files: Path) -> str:
    words = [str(ACTIONLINT), "-no-color", "-shellcheck=", "-pyflakes=", *map(str, files)]
    return run(words, capture_output=True, text=True, check=False, cwd=ROOT).stdout


def test_actionlint_finds_nothing() -> None:
    assert linted(*FILES) == ""


def test_actionlint_finds_what_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "ci.yml"
    text = (FOLDER / "ci.yml").read_text("utf-8")
    wrong.write_text(text.replace("needs.processes.outputs.names", "needs.process.outputs.names"))
    assert '"process" is not defined' in linted(wrong)


@each_file
def test_an_action_is_pinned_and_a_workflow_may_only_read(file: Path) -> None:
    used = [step["uses"] for step in steps(file) if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name)] == []
    assert workflow(file)["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] for job in workflow(file)["jobs"].values())


@each_file
def test_what_others_may_choose_is_no_part_of_a_script(file: Path) -> None:
    """It comes as a variable: a script with `${{ }}` in it would run what a branch is named."""
    scripts = [step["run"] for step in steps(file) if "run" in step]
    assert scripts
    assert [script for script in scripts if "${{" in script] == []


@each_file
def test_a_target_that_is_made_is_there(file: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    made = [m for step in steps(file) for m in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))]
    assert set(made) <= targets
    assert made


def test_ci_runs_what_the_machine_of_the_project_runs() -> None:
    found = workflow(FOLDER / "ci.yml")["jobs"]
    assert [step.get("run") for step in found["test"]["steps"]][1:] == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_a_release_signs_what_it_pushes_and_only_the_tag_of_a_service_makes_one() -> None:
    file = FOLDER / "release.yml"
    assert workflow(file)[True] == {"push": {"tags": ["*/v*"]}}  # YAML 1.1 reads `on` as true
    text = "\n".join(step.get("run", "") for step in steps(file))
    order = [
        text.index(part) for part in ("scripts.released", "docker push", "sign --yes", "attest")
    ]
    assert order == sorted(order)
    assert "${SERVICE}_svc" in text


@pytest.mark.parametrize("name", BY_NAME)
def test_a_tag_releases_the_version_of_the_manifest(name: str) -> None:
    version = BY_NAME[name].version
    assert released_by(f"{name}/v{version}") == {"service": name, "version": version}
    for wrong in (f"{name}/v9.9.9", f"{name}/{version}", f"v{version}", f"bank/v{version}"):
        with pytest.raises(NoReleaseError):
            released_by(wrong)


@pytest.mark.long(2)
def test_the_command_prints_what_a_workflow_takes() -> None:
    command = [sys.executable, "-m", "scripts.released"]
    found = run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert found == f"names={list(IMAGES)}\n".replace("'", '"')
    wrong = run([*command, "order/v9.9.9"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "is not the version in the manifest" in wrong.stderr
