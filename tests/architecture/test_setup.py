"""Which Python `make setup` takes: uv's first, unless that one was compiled without optimisations."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.test_tidy import ROOT

UV: Final = """#!/bin/sh
case "$1" in
    python) echo "$PWD/first" ;;
    sync) echo "${UV_PYTHON:-first}" >taken ;;
esac
"""
SYSTEM: Final = subprocess.run(
    ["sh", "-c", "command -pv python3"], capture_output=True, text=True, check=False
).stdout.strip()


def taken(folder: Path, *, is_plain: bool, **variables: str) -> str:
    """The Python that uv gets, where its first is a program that answers what the script asks."""
    programs = {"uv": UV, "first": f"#!/bin/sh\nexit {int(not is_plain)}\n"}
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o700)
    environment = {k: v for k, v in os.environ.items() if k != "UV_PYTHON"} | variables
    environment["PATH"] = f"{folder}:{environment['PATH']}"
    script = shutil.copy(ROOT / "scripts" / "setup.sh", folder)
    subprocess.run(["sh", script], env=environment, cwd=folder, check=True, capture_output=True)
    return (folder / "taken").read_text().strip()


def test_one_that_is_optimised_is_taken(tmp_path: Path) -> None:
    assert taken(tmp_path, is_plain=False) == "first"


def test_instead_of_one_that_is_not_the_systems_is_taken(tmp_path: Path) -> None:
    new_enough = "import sys; sys.exit(sys.version_info < (3, 11))"
    if not SYSTEM or subprocess.run([SYSTEM, "-c", new_enough], check=False).returncode:
        pytest.skip("the system has no Python 3.11")
    assert taken(tmp_path, is_plain=True) == SYSTEM


def test_what_a_person_chooses_is_taken(tmp_path: Path) -> None:
    assert taken(tmp_path, is_plain=True, UV_PYTHON="3.12") == "3.12"


def test_an_environment_that_is_there_keeps_its_own(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    assert taken(tmp_path, is_plain=True) == "first"
