"""`python -m tests.kube_api` leaves out nothing that is rendered, and says what is wrong by its exit code."""

import json
import lzma
import re
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from saga_cli.topology import PROCESSES
from tests import kube_api
from tests.helm_page import HELM
from tests.support.api_server import VARIABLES
from tests.support.crds import made_of_schemas, of_files
from tests.support.helm import OPERATORS


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder that programs are looked for in."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def kubectl(path: Path, body: str) -> None:
    program = path / "kubectl"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | bool:
    monkeypatch.setattr(sys, "argv", ["kube_api", *words])
    with pytest.raises(SystemExit) as ended:
        kube_api.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.long(5)
def test_each_chart_in_each_variant_and_all_of_saga_k8s_is_checked(tmp_path: Path) -> None:
    found = {each.name: each for each in kube_api.sets(tmp_path)}
    for spec in PROCESSES:
        assert {f"{spec.name}{variant}" for variant in kube_api.VARIANTS} <= found.keys()
    for example in (HELM / "examples").iterdir():
        assert f"all, {example.name}" in found
    kinds: set[str] = set()
    for each in found.values():
        documents = kube_api.documents_of(each.render())
        assert documents
        kinds |= {one["kind"] for one in documents}
    assert {crd["spec"]["names"]["kind"] for crd in made_of_schemas()} <= kinds


def test_pods_are_those_of_all_that_makes_some(tmp_path: Path) -> None:
    (order,) = [each for each in kube_api.sets(tmp_path) if each.name == "order"]
    found = kube_api.pods_of(kube_api.documents_of(order.render()))
    assert [pod["metadata"]["name"] for pod in found] == ["order", "order-migrate"]
    for pod in found:
        kubernetes_validate.validate(pod, "1.34", strict=True)


def test_the_crds_are_as_strict_as_the_schemas() -> None:
    kept = json.loads(lzma.decompress(OPERATORS.read_bytes()))["schemas"]
    count = 0
    for made in made_of_schemas():
        kubernetes_validate.validate(made, "1.34", strict=True)
        names, group = made["spec"]["names"], made["spec"]["group"]
        assert [v["storage"] for v in made["spec"]["versions"]].count(True) == 1
        for version in made["spec"]["versions"]:
            schema = kept[f"{group}/{version['name']} {names['kind']}"]
            count += equally_strict(schema, version["schema"]["openAPIV3Schema"])
    assert count > 1000


def equally_strict(schema: dict[str, Any], made: dict[str, Any]) -> int:
    """How many objects refuse a field that they do not name."""
    is_open = made.get("x-kubernetes-preserve-unknown-fields", False)
    assert not (schema.get("additionalProperties") is False and is_open), made
    count = int(schema.get("additionalProperties") is False)
    for name, each in schema.get("properties", {}).items():
        count += equally_strict(each, made["properties"][name])
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            count += equally_strict(schema[name], made[name])
    return count


def test_crds_of_yours_are_read_from_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: CustomResourceDefinition\n---\nkind: ConfigMap\n---\n")
    (tmp_path / "b.yml").write_text("{kind: CustomResourceDefinition, metadata: {name: b}}")
    found = [*of_files([tmp_path, tmp_path / "b.yml"])]
    assert [each.get("metadata", {}).get("name") for each in found] == [None, "b", "b"]


def test_a_cluster_of_yours_is_asked_and_nothing_is_stored_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl(path, f'echo "$@" >>{path}/asked')
    assert run(monkeypatch, "--context", "test", "--namespace", "shop", "--only", "console") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(kube_api.VARIANTS)
    assert [
        x for x in lines if not re.fullmatch(r"console.*: accepted; \d documents, 2 pods", x)
    ] == []
    first, *asked = (path / "asked").read_text("utf-8").splitlines()
    assert first == "--context test version"
    assert len(asked) == 2 * len(kube_api.VARIANTS)
    for line in asked:
        assert line.startswith("--context test ")
        assert " --dry-run=server -n shop " in line


@pytest.mark.long(1)
def test_what_is_refused_ends_it_with_1(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl(path, "[ $3 = version ] && exit 0\necho 'Warning: would violate' >&2\nexit 1")
    assert run(monkeypatch, "--context", "test", "--only", "servers") == 1
    first, *found = capsys.readouterr().out.splitlines()[:3]
    assert first.startswith("servers: REFUSED; ")
    assert found == ["  Warning: would violate"] * 2  # of the documents and of their pods


@pytest.mark.parametrize(
    ("words", "missing"), [((), "etcd"), (("--context", "test"), "kubectl")], ids=str
)
def test_a_program_that_is_missing_is_named_in_one_line(
    words: tuple[str, ...],
    missing: str,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if missing != "kubectl":
        kubectl(path, "exit 0")
    assert run(monkeypatch, *words) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert shown.err.startswith(f"there is no {missing} on PATH")


def test_a_cluster_that_does_not_answer_ends_it_with_2(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl(path, "echo 'error: context \"test\" does not exist' >&2\nexit 1")
    assert run(monkeypatch, "--context", "test") == 2
    assert capsys.readouterr().err == 'kubectl version: error: context "test" does not exist\n'


def test_a_set_that_is_not_there_ends_it_with_2(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl(path, "exit 0")
    assert run(monkeypatch, "--context", "test", "--only", "bank") == 2
    assert capsys.readouterr().err == "no set has 'bank' in its name\n"


def test_values_that_the_charts_schema_refuses_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl(path, "exit 0")
    (path / "bad.yaml").write_text("order: {replicas: 0}")
    words = ("--context", "test", "--only", "bad", "--values", str(path / "bad.yaml"))
    assert run(monkeypatch, *words) == 1
    assert "replicas" in capsys.readouterr().out
