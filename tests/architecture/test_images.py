"""Images and containers: one unprivileged user, nothing to write to, no capabilities, no surprises."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from saga_cli.topology import SERVICES
from tests.architecture.test_topology import COMPOSE, ROOT

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
LAST_STAGE: Final = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
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
    (user,) = re.findall(r"^USER (.+)$", LAST_STAGE, re.MULTILINE)
    uid, gid = map(int, user.split(":"))
    assert uid > 0
    assert gid > 0
    assert LAST_STAGE.count("\nHEALTHCHECK ") == 1
    assert "--chown" not in DOCKERFILE


def test_all_that_an_image_installs_has_a_known_hash_and_runs_no_code_for_it() -> None:
    installs = re.findall(r"^RUN (.*(?:pip|uv) .*)$", DOCKERFILE, re.MULTILINE)
    by_pip, by_uv = installs
    assert {"--require-hashes", "--only-binary :all:"} <= set(
        re.findall(r"--\S+ :all:|--\S+", by_pip)
    )
    assert {"--frozen", "--no-build", "--no-dev"} <= set(by_uv.split())


def test_an_image_holds_one_service() -> None:
    copied = set(re.findall(r"^COPY (\S+) \S+$", LAST_STAGE, re.MULTILINE))
    assert copied == {"shared_events", "chassis", "${SERVICE}_svc"}
    allowed = {line for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    assert allowed == {"!pyproject.toml", "!uv.lock", "!scripts/uv.txt"} | {
        f"!{name}" for name in ("shared_events", "chassis", "*_svc")
    }


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
    assert own is (service in {spec.name for spec in SERVICES})
    assert own or re.fullmatch(r"[a-z0-9./-]+:\d[\d.]*", image)


def test_a_service_has_nothing_to_write_to_and_few_processes() -> None:
    for spec in SERVICES:
        assert 0 < COMPOSE[spec.name]["pids_limit"] <= 256
        assert COMPOSE[spec.name].keys() & {"volumes", "tmpfs", "user", "devices"} == set()
