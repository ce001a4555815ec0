"""A process says which release it is: on the command line without settings, and over HTTP."""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from prometheus_client import REGISTRY

from chassis import build
from chassis.manifest import Manifest
from chassis.measuring import show_build
from chassis.process import program, runtime
from chassis.process.settings import ProcessSettings
from saga_cli.checkouts import unpack
from saga_cli.topology import BY_NAME
from tests.support.documents import STARTED_AT, application_of

ROOT: Final = Path(__file__).parents[2]
COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"
MANIFEST: Final = Manifest("order", port=1, version="1.2.3-rc.1")


async def serve(_: Any) -> None:
    """What a service does without a word."""


async def migrate(_: Any) -> None:
    """What it does on `migrate`."""


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Callable[..., Awaitable[None]]]]:
    """What a program begins with the words that it is given; no setting is read."""
    started: list[Any] = []
    monkeypatch.setattr(runtime, "start", lambda _type, _name, main: started.append(main))

    def begin(*words: str, **tasks: Any) -> list[Any]:
        monkeypatch.setattr(sys, "argv", ["order_svc", *words])
        program.begin(MANIFEST, ProcessSettings, serve, **tasks)
        return started

    return begin


def test_a_program_serves_or_migrates(begun: Any) -> None:
    assert begun(migrate=migrate) == [serve]
    assert begun("migrate", migrate=migrate) == [serve, migrate]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--version"], 0, "order 1.2.3-rc.1\n"),
        (["--help"], 0, "One process of the order service."),
        (["migrate"], 2, "unrecognized arguments: migrate"),
        (["--nonsense"], 2, "unrecognized arguments: --nonsense"),
    ],
)
def test_it_says_what_it_is_without_settings_and_refuses_other_words(
    begun: Any, words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        begun(*words)
    printed = capsys.readouterr()
    assert ended.value.code == code
    assert says in (printed.err if code else printed.out)


@pytest.mark.parametrize("service", BY_NAME)
async def test_a_service_says_which_release_runs_and_what_it_writes_and_reads(
    service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build, "COMMIT_FILE", tmp_path / "commit.txt")
    assert (await _asked(service))["commit"] is None
    (tmp_path / "commit.txt").write_text(f"{COMMIT}\n")
    found = await _asked(service)
    declared = import_module(f"{BY_NAME[service].module}.service").SERVICE
    assert (found["service"], found["version"]) == (service, BY_NAME[service].version)
    assert (found["commit"], found["started_at"]) == (COMMIT, f"{STARTED_AT:%Y-%m-%dT%H:%M:%SZ}")
    assert set(found["writes"]) == {
        declared.catalog.by_event[e].wire_type for e in declared.publishes
    }
    assert set(found["knows"]) == {*declared.catalog.by_type}
    read = {e.topic for e in declared.catalog.entries if {*e.wire_types} <= {*found["reads"]}}
    assert read >= {*declared.topics}


async def _asked(service: str) -> Any:
    transport = httpx.ASGITransport(application_of(service))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{service}") as client:
        answer = await client.get("/version")
    assert answer.status_code == 200
    return answer.json()


def test_the_metric_says_the_release_of_the_service() -> None:
    show_build("a-service", "1.2.3")
    labels = {"service": "a-service", "version": "1.2.3"}
    samples = [s for family in REGISTRY.collect() for s in family.samples]
    found = [
        s.value
        for s in samples
        if s.name == "saga_build_info" and labels.items() <= s.labels.items()
    ]
    assert found == [1]


@pytest.mark.parametrize("text", ["$Format:%H$\n", "", "0123", "\xff"])
def test_a_commit_that_is_not_known_is_none(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build, "COMMIT_FILE", tmp_path / "commit.txt")
    build.COMMIT_FILE.write_text(text, "latin-1")
    assert build.commit() == ""
    assert build.shown("order", "1.0.0") == "order 1.0.0"


def test_an_archive_of_a_revision_knows_its_commit(tmp_path: Path) -> None:
    """What a release is built of: `git archive` writes the commit where the program looks for it."""
    (tmp_path / "chassis").mkdir()
    for name in (".gitattributes", "chassis/commit.txt"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    who = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false")
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    archive = ["git", "archive", "--format=tar", "-o", "a.tar", "HEAD"]
    subprocess.run(archive, cwd=tmp_path, check=True)
    unpacked = tmp_path / "unpacked"
    with tarfile.open(tmp_path / "a.tar") as files:
        unpack(files, unpacked)
    assert (unpacked / "chassis" / "commit.txt").read_text() == head
