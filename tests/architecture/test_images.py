"""Images and containers: one unprivileged user, nothing to write to, no capabilities, no surprises."""

import os
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import pytest

from saga_cli.topology import PROCESSES
from tests.architecture.test_topology import COMPOSE, ROOT

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
RUNTIME, CONSOLE_STAGE, LAST_STAGE = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[2:]
WRITES_WHEN_IT_STARTS: Final = {"kafka"}
"""Its image writes the broker's settings into its own folder."""
each = pytest.mark.parametrize("name", sorted(COMPOSE))


def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which(program, path=f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}")
    assert found is not None, f"{program} is missing: `make setup` brings it"
    return subprocess.run([found, *words], capture_output=True, text=True, check=False)


def test_hadolint_finds_nothing() -> None:
    assert run("hadolint", str(ROOT / "Dockerfile")).stdout == ""


def test_hadolint_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN sudo pip install uv\n")
    assert "DL3004" in run("hadolint", str(tmp_path / "Dockerfile")).stdout


def test_compose_reads_the_file() -> None:
    read = run("docker-compose", "-f", str(ROOT / "compose.yaml"), "config", "--quiet")
    assert (read.returncode, read.stderr) == (0, "")


def test_an_image_runs_as_a_numbered_user_and_is_asked_for_its_health() -> None:
    (user,) = re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)
    assert f"USER {user}" in RUNTIME
    assert [stage.split()[0] for stage in (CONSOLE_STAGE, LAST_STAGE)] == ["runtime", "runtime"]
    uid, gid = map(int, user.split(":"))
    assert uid > 0
    assert gid > 0
    assert DOCKERFILE.count("\nHEALTHCHECK ") == RUNTIME.count("\nHEALTHCHECK ") == 1
    assert "--chown" not in DOCKERFILE


def test_all_that_an_image_installs_has_a_known_hash_and_runs_no_code_for_it() -> None:
    installs = re.findall(r"^RUN (.*(?:pip|uv) .*)$", DOCKERFILE, re.MULTILINE)
    by_pip, by_uv = installs
    assert {"--require-hashes", "--only-binary :all:"} <= set(
        re.findall(r"--\S+ :all:|--\S+", by_pip)
    )
    assert {"--frozen", "--no-build", "--no-dev"} <= set(by_uv.split())


def test_an_image_holds_one_service() -> None:
    """tests/architecture/test_independence.py runs each in a folder that has just that."""
    copied = re.findall(r"^COPY (.+)$", LAST_STAGE, re.MULTILINE)
    assert [*copied] == [
        f"{name} {name}" for name in ("shared_events", "chassis", "${SERVICE}_svc")
    ]
    allowed = {line for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    packages = ("shared_events", "chassis", "*_svc", "guarantees", "saga_cli", "console")
    assert allowed == {"!pyproject.toml", "!uv.lock", "!scripts/uv.txt"} | {
        f"!{name}" for name in packages
    }


@pytest.mark.long(3)
def test_the_consoles_image_holds_all_that_it_imports() -> None:
    """And nothing of what measures, simulates or tests."""
    asked = "import sys, console.__main__; print(*{name.split('.')[0] for name in sys.modules})"
    imported = run("python", "-c", asked).stdout.split()
    own = {name for name in imported if (ROOT / name / "__init__.py").exists()}
    lines = (ROOT / ".dockerignore").read_text().split()
    allowed = [line.removeprefix("!") for line in lines if line[0] == "!"]
    assert {name for name in own if not any(fnmatch(name, each) for each in allowed)} == set()
    assert {"console", "guarantees"} <= own
    assert re.findall(r"^COPY (\S+) \S+$", CONSOLE_STAGE, re.MULTILINE) == ["."]


@each
def test_a_container_is_confined(name: str) -> None:
    container: dict[str, Any] = COMPOSE[name]
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in container
    assert "cap_add" not in container
    assert container.get("read_only", False) is not (name in WRITES_WHEN_IT_STARTS)


@each
def test_an_image_of_others_has_a_version(name: str) -> None:
    image: str = COMPOSE[name]["image"]
    service = name.removesuffix("-migrate")
    own = image == f"choreographed-checkout/{service}"
    assert own is (service in {spec.name for spec in PROCESSES})
    assert own or re.fullmatch(r"[a-z0-9./-]+:\d[\d.]*", image)


def test_a_service_has_nothing_to_write_to_and_few_processes() -> None:
    for spec in PROCESSES:
        assert 0 < COMPOSE[spec.name]["pids_limit"] <= 256
        assert COMPOSE[spec.name].keys() & {"volumes", "tmpfs", "user", "devices"} == set()
