"""A real API server takes what is rendered and refuses what is wrong.

The short form of `python -m tests.kube_api`.
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from saga_cli.k8s.names import KAFKA, database_of
from saga_cli.stack.binaries import MissingProgramError
from saga_cli.topology import STORED
from tests.helm_page import ROOT
from tests.kube_api import DocumentSet, ThrowAwayServer, differences, documents_of, pods_of, sets
from tests.support.api_server import Kubectl, api_server, defined, restricted_namespace
from tests.support.crds import made_of_schemas
from tests.support.saga import saga

pytestmark = pytest.mark.long(40)


@pytest.fixture(scope="module")
def api() -> Iterator[Kubectl]:
    try:
        with api_server() as started:
            defined(started, made_of_schemas())
            yield started
    except MissingProgramError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def server(api: Kubectl) -> ThrowAwayServer:
    return ThrowAwayServer(api)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DocumentSet]:
    return {each.name: each for each in sets(tmp_path_factory.mktemp("charts"))}


@pytest.mark.parametrize(
    "name",
    ["order", "inventory, scaled by KEDA, monitored", "all, monitored.yaml", "servers", "faults"],
)
def test_what_is_rendered_is_taken(
    server: ThrowAwayServer, known: dict[str, DocumentSet], name: str
) -> None:
    documents, found = server.check(known[name])
    assert found == []
    assert documents


@pytest.mark.parametrize(
    ("name", "good", "wrong", "why"),
    [
        ("order", "revisionHistoryLimit: ", "revisionHistory: ", ".spec.revisionHistory"),
        ("order", "replicas: 2", "replicas: -2", "must be greater than or equal to 0"),
        ("order", "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot != true"),
        (
            "order",
            "allowPrivilegeEscalation: false",
            "privileged: true",
            'is forbidden: violates PodSecurity "restricted:latest": privileged',
        ),
        ("order", "maxUnavailable: 0, maxSurge: 1", "maxUnavailable: 0, maxSurge: 0", "may not be"),
        ("order", "path: /health/ready, port: http", "path: /health/ready, port: web_", "port"),
        ("servers", "partitions: ", "partition: ", ".spec.partition"),
        ("servers", "partitions: ", "partitions: -", "should be greater than or equal to 1"),
        ("servers", "instances: 3", "instances: three", "instances"),
        ("faults", "action: pod-kill", "action: pod-stop", "Unsupported value"),
    ],
)
def test_what_is_wrong_is_refused(
    server: ThrowAwayServer,
    known: dict[str, DocumentSet],
    name: str,
    good: str,
    wrong: str,
    why: str,
) -> None:
    text = known[name].render()
    assert good in text
    _, found = server.check(DocumentSet(name, lambda: text.replace(good, wrong)))
    assert why in "\n".join(found)


@pytest.mark.parametrize(
    ("name", "was", "will_be", "why"),
    [
        ("order", "instance: order", "instance: order-9", "spec.selector: .*: field is immutable"),
        ("servers", "storage: 50Gi", "storage: 90Gi", "updates to statefulset spec .* forbidden"),
    ],
)
def test_what_can_not_be_changed_later_is_noticed(
    server: ThrowAwayServer,
    known: dict[str, DocumentSet],
    name: str,
    was: str,
    will_be: str,
    why: str,
) -> None:
    """How the volume of Redis grows all the same is on docs/kubernetes.md."""
    later = known[name].render().replace(was, will_be)
    _, found = server.check(replace(known[name], later=lambda: later))
    assert re.search(why, "\n".join(found))


def test_what_is_stored_otherwise_than_it_was_given_is_noticed(api: Kubectl) -> None:
    restricted_namespace(api, "differs")
    given = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"b":"c"}}'
    api.done("apply", "-n", "differs", "-f", "-", given=given)
    assert differences(api, "differs", given) == []
    assert "+  b: d" in differences(api, "differs", given.replace('"c"', '"d"'))


def test_all_values_of_yours_are_checked(server: ThrowAwayServer, tmp_path: Path) -> None:
    yours = tmp_path / "yours.yaml"
    yours.write_text("order: {resources: {limits: {memory: 1Mi}, requests: {memory: 2Mi}}}")
    (given,) = [each for each in sets(tmp_path, [yours]) if yours.name in each.name]
    _, found = server.check(given)
    assert "must be less than or equal to memory limit" in "\n".join(found)


def test_the_secrets_of_the_page_are_those_that_are_asked_for(
    api: Kubectl, known: dict[str, DocumentSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert saga("secrets").code == 0
    restricted_namespace(api, "checkout")
    for command in secrets_of_the_page():
        api.done(*command)
    made = json.loads(api.done("get", "secrets", "-n", "checkout", "-o", "json"))["items"]
    there = {(each["metadata"]["name"], key) for each in made for key in each["data"]}
    text = "\n---\n".join((known["all in one release"].render(), known["servers"].render()))
    documents = documents_of(text)
    asked = {*asked_for(documents)}
    assert asked - there == set()
    assert {name for name, _ in there} == {name for name, _ in asked}


def secrets_of_the_page() -> Iterator[list[str]]:
    """Those of one database are the example for each."""
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    for line in re.findall(r"^kubectl (create secret .*)$", page, re.MULTILINE):
        for spec in STORED if "postgres-order-" in line else STORED[:1]:
            yield shlex.split(line.replace(STORED[0].name, spec.name))


def asked_for(documents: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """By pods and by CloudNativePG, with the key; not what the operators make themselves."""
    of_operators = {each["metadata"]["name"] for each in documents if each["kind"] == "KafkaUser"}
    of_operators |= {f"{database_of(spec)}-ca" for spec in STORED} | {f"{KAFKA}-cluster-ca-cert"}
    for pod in pods_of(documents):
        for volume in pod["spec"]["volumes"]:
            for each in volume.get("projected", {}).get("sources", ()):
                if each["secret"]["name"] not in of_operators:
                    yield from ((each["secret"]["name"], i["key"]) for i in each["secret"]["items"])
            if volume["name"] == "tls":
                yield from (
                    (volume["secret"]["secretName"], f"tls.{end}") for end in ("crt", "key")
                )
                yield volume["secret"]["secretName"], "ca.crt"
            elif volume["name"] == "users":
                yield volume["secret"]["secretName"], "redis.acl"
    for cluster in (each["spec"] for each in documents if "initdb" in str(each)):
        for key in ("username", "password"):
            yield cluster["bootstrap"]["initdb"]["secret"]["name"], key
            yield cluster["managed"]["roles"][0]["passwordSecret"]["name"], key
