"""What is rendered for Kubernetes, applied to a real API server: `python -m tests.kube_api`, a minute or two.

The server is an empty one that ends with the command (kube-apiserver and etcd, from PATH or where
SAGA_KUBE_APISERVER and SAGA_ETCD say), or with --context a cluster of yours, in which nothing is stored.
Here each set of documents has a namespace of its own, whose pods have to be restricted. The exit code is 1
where the server refuses or warns, 2 where a program is missing.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import helm_python
import yaml

from guarantees.counts import counted
from saga_cli.terminal import CommandError
from saga_cli.topology import PROCESSES
from tests.helm_page import HELM
from tests.support import crds
from tests.support.api_server import (
    Kubectl,
    api_server,
    defined,
    listed,
    of_context,
    restricted_namespace,
)
from tests.support.helm import NAMESPACE, merged, release, umbrella_release
from tests.support.saga import saga

WITH_PODS: Final = frozenset(("Deployment", "Job", "StatefulSet"))
HOOK: Final = "helm.sh/hook"
AS_HELM_DOES: Final = ("apply", "--server-side", "--force-conflicts", "--warnings-as-errors")
AS_THE_PAGES_SAY: Final = ("apply", "--warnings-as-errors")
AS_CONTROLLERS_DO: Final = ("create", "--warnings-as-errors")
MONITORED: Final = {"global": {"monitoring": {"enabled": True}}}
NEXT: Final = {"version": "9.0.0", "global": {"image": {"tag": "9.0.0"}}}
"""What a later release changes."""
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "": {},
    ", scaled by HPA, monitored": {"autoscaling": {"mode": "hpa"}, **MONITORED},
    ", scaled by KEDA, monitored": {"autoscaling": {"mode": "keda"}, **MONITORED},
    ", with each option": {
        "podAnnotations": {"example.com/team": "shop"},
        "secretFiles": {"OTEL_EXPORTER_OTLP_HEADERS": {"name": "telemetry", "key": "headers"}},
        "global": {
            "image": {"registry": "images.example.com", "pullSecrets": [{"name": "images"}]},
            "otlpEndpoint": "https://otlp.example.com",
            "auth": {"jwksUrl": "https://login.example.com/keys"},
            "monitoring": {"enabled": True, "labels": {"release": "prometheus"}},
        },
    },
}
Render = Callable[[], str]


@dataclass(frozen=True, slots=True)
class DocumentSet:
    """What is applied together, as YAML, and what replaces it later."""

    name: str
    render: Render
    later: Render | None = None


def sets(folder: Path, values: Iterable[Path] = ()) -> Iterator[DocumentSet]:
    """Each process alone, all in one release, the servers, the faults; `values` are files of yours."""
    for spec in PROCESSES:
        for variant, more in VARIANTS.items():
            render = partial(_charts, release, spec.name, **more)
            later = partial(_charts, release, spec.name, **merged(more, NEXT))
            yield DocumentSet(f"{spec.name}{variant}", render, later)
    yield from _in_one_release(folder, values)
    servers = partial(_resources, "render")
    backed_up = partial(_resources, "render", "--backups", "s3://shop/postgres")
    yield DocumentSet("servers", servers, backed_up)
    yield DocumentSet("servers, with backups", backed_up, servers)
    yield DocumentSet("faults", partial(_resources, "chaos", "--namespace", NAMESPACE))


def _in_one_release(folder: Path, values: Iterable[Path]) -> Iterator[DocumentSet]:
    """Each variant is replaced by the one after it."""
    monitored = folder / "monitored.yaml"
    monitored.write_text(yaml.safe_dump(MONITORED), "utf-8")
    files = [monitored, *sorted((HELM / "examples").glob("*.yaml")), *values]
    variants = {"all in one release": partial(_charts, umbrella_release, folder)}
    for file in files:
        variants[f"all, {file.name}"] = partial(_charts, umbrella_release, folder, file)
    renders = list(variants.values())
    for (name, render), later in zip(variants.items(), renders[1:] + renders[:1], strict=True):
        yield DocumentSet(name, render, later)


def _charts(made: Callable[..., dict[str, str]], *arguments: Any, **more: Any) -> str:
    return "\n---\n".join(made(*arguments, **more).values())


def _resources(*words: str) -> str:
    ended = saga("k8s", *words)
    assert ended.code == 0, ended.err
    return ended.out


def documents_of(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


def pods_of(documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What their controllers would make: a namespace judges these, and of templates it only warns."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": each["metadata"]["name"], **each["spec"]["template"]["metadata"]},
            "spec": _with_volumes(each["spec"]),
        }
        for each in documents
        if each["kind"] in WITH_PODS
    ]


def _with_volumes(spec: dict[str, Any]) -> dict[str, Any]:
    """Of a pod of a stateful set: those that it claims are among them."""
    claimed = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", ())]
    made = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claimed]
    pod: dict[str, Any] = spec["template"]["spec"]
    return {**pod, "volumes": [*pod.get("volumes", ()), *made]}


class ThrowAwayServer:
    """A check stores what it is given, each time in a new namespace."""

    def __init__(self, api: Kubectl) -> None:
        self._api, self._checks = api, 0

    def check(self, checked: DocumentSet) -> tuple[list[dict[str, Any]], list[str]]:
        """Its documents, and what the server has against them."""
        self._checks += 1
        namespace = f"check-{self._checks}"
        restricted_namespace(self._api, namespace)
        text = checked.render()
        documents = documents_of(text)
        found = would_refuse(self._api, namespace, text, documents)
        return documents, found or self._stored(namespace, text, documents, checked.later)

    def _stored(
        self, namespace: str, text: str, documents: Sequence[dict[str, Any]], later: Render | None
    ) -> list[str]:
        """Stored it is as it was given; what comes later changes no field that can't be changed."""
        found = refused(self._api, namespace, text, *AS_THE_PAGES_SAY)
        found = found or differences(self._api, namespace, text)
        if found or later is None:
            return found
        if hooks := [each for each in documents if HOOK in each["metadata"].get("annotations", {})]:
            self._api.done("delete", "-n", namespace, "-f", "-", given=listed(hooks))
        return refused(self._api, namespace, later(), *AS_THE_PAGES_SAY, "--dry-run=server")


@dataclass(frozen=True, slots=True)
class ClusterOfYours:
    """Nothing is stored there."""

    api: Kubectl
    namespace: str

    def check(self, checked: DocumentSet) -> tuple[list[dict[str, Any]], list[str]]:
        text = checked.render()
        documents = documents_of(text)
        return documents, would_refuse(self.api, self.namespace, text, documents)


def would_refuse(
    api: Kubectl, namespace: str, text: str, documents: Sequence[dict[str, Any]]
) -> list[str]:
    found = refused(api, namespace, text, *AS_HELM_DOES, "--dry-run=server")
    if pods := pods_of(documents):
        found += refused(api, namespace, listed(pods), *AS_CONTROLLERS_DO, "--dry-run=server")
    return found


def refused(api: Kubectl, namespace: str, text: str, *words: str) -> list[str]:
    """What it says against these documents, in lines."""
    ended = api.run(*words, "-n", namespace, "-f", "-", given=text)
    return _lines(ended.err) or ["it gives no reason"] if ended.code else []


def differences(api: Kubectl, namespace: str, text: str) -> list[str]:
    """What would change where the same is applied once more."""
    ended = api.run("diff", "-n", namespace, "-f", "-", given=text)
    return ["applied again, it changes:", *_lines(ended.out + ended.err)] if ended.code else []


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


@contextmanager
def checker(asked: argparse.Namespace) -> Iterator[ThrowAwayServer | ClusterOfYours]:
    if asked.context:
        api = of_context(asked.context)
        api.done("version")  # it answers
        yield ClusterOfYours(api, asked.namespace)
        return
    with api_server() as api:
        defined(api, crds.of_files(asked.crds) if asked.crds else crds.made_of_schemas())
        yield ThrowAwayServer(api)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="sets with this text in their names")
    add = partial(parser.add_argument, type=existing, default=[])
    add("--values", action="append", metavar="FILE", help="of yours for all in one release")
    add("--crds", nargs="+", metavar="PATH", help="of your operators, in files or folders")
    parser.add_argument("--context", default="", help="a cluster of yours; nothing is stored there")
    parser.add_argument("--namespace", default="checkout", help="there")
    return parser.parse_args()


def existing(name: str) -> Path:
    if not (path := Path(name)).exists():
        raise argparse.ArgumentTypeError(f"there is no {name}")
    return path


def checked(asked: argparse.Namespace, folder: Path) -> Iterator[tuple[str, bool]]:
    """Of each set a line, with what was found below it, and whether there was something."""
    with checker(asked) as server:
        for each in sets(folder, asked.values):
            if asked.only in each.name:
                try:
                    documents, found = server.check(each)
                except helm_python.HelmError as error:
                    documents, found = [], _lines(str(error))
                pods = counted(len(pods_of(documents)), "pod")
                seen = f"{counted(len(documents), 'document')}, {pods}"
                head = f"{each.name}: {'REFUSED' if found else 'accepted'}; {seen}"
                yield "\n  ".join([head, *found]), bool(found)


def main() -> None:
    asked, found = arguments(), []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for line, is_refused in checked(asked, Path(folder)):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
                found.append(is_refused)
    except CommandError as error:
        sys.exit(failed(str(error)))
    sys.exit(any(found) if found else failed(f"no set has {asked.only!r} in its name"))


def failed(why: str) -> int:
    sys.stderr.write(f"{why}\n")
    return 2


if __name__ == "__main__":
    main()
