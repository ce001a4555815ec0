"""The charts as Helm itself renders them; Helm is a library here, no cluster is asked."""

import json
import lzma
import shutil
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import helm_python
import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

from tests.helm_page import HELM, ONE, UMBRELLA

NAMESPACE: Final = "shop"
GIVEN: Final[dict[str, Any]] = {"global": {"auth": {"issuer": "https://issuer.example.com/shop"}}}
"""The one value that nothing can be assumed of."""
OPERATORS: Final = Path(__file__).with_name("operators.json.xz")
"""What APIs take that are not Kubernetes' own; see operators.md beside it."""
KUBERNETES: Final = "1.34"
Resources = dict[tuple[str, str], dict[str, Any]]
"""By kind and name."""


def values_for(name: str, **more: Any) -> dict[str, Any]:
    own: dict[str, Any] = yaml.safe_load((HELM / "services" / f"{name}.yaml").read_text("utf-8"))
    return merged(merged(own, GIVEN), more)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """As Helm does it: maps are merged, all else is replaced."""
    both = {k: merged(below[k], v) for k, v in above.items() if isinstance(v, dict) and k in below}
    return {**below, **above, **both}


def rendered(name: str, **more: Any) -> Resources:
    """One service's release. Raises HelmError."""
    return _resources(release(name, **more))


def release(name: str, **more: Any) -> dict[str, str]:
    """The same by file, as Helm writes it."""
    values = values_for(name, **more)
    with helm_python.Chart.load(ONE) as chart:
        chart.validate_schema(values)
        return dict(chart.render(values, name=name, namespace=NAMESPACE))


def umbrella(folder: Path, *files: Path) -> Resources:
    """All services in one release, with the values of these files, each over those before."""
    return _resources(umbrella_release(folder, *files))


def umbrella_release(folder: Path, *files: Path) -> dict[str, str]:
    """The same by file, as Helm writes it. Raises HelmError."""
    place = folder / "helm"
    if not place.exists():
        shutil.copytree(HELM, place)
        helm_python.dependency_build(place / UMBRELLA.name)
    values = GIVEN
    for file in files:
        values = merged(values, yaml.safe_load(file.read_text("utf-8")))
    with helm_python.Chart.load(place / UMBRELLA.name) as chart:
        return dict(chart.render(values, name="checkout", namespace=NAMESPACE))


def _resources(files: dict[str, str]) -> Resources:
    found = [each for text in files.values() for each in yaml.safe_load_all(text) if each]
    made = {(each["kind"], each["metadata"]["name"]): each for each in found}
    assert len(made) == len(found), "two resources of one name"
    return made


def check(resources: Iterable[dict[str, Any]]) -> int:
    """How many were held against the schemas of their APIs. Raises ValidationError for an unknown field."""
    found = [*resources]
    for each in found:
        known = operators().get(f"{each['apiVersion']} {each['kind']}")
        if known:
            known.validate(each)
        else:
            kubernetes_validate.validate(each, KUBERNETES, strict=True)
    return len(found)


@cache
def operators() -> dict[str, Draft202012Validator]:
    """Of each kind that an operator reads, by `apiVersion kind`."""
    schemas: dict[str, Any] = json.loads(lzma.decompress(OPERATORS.read_bytes()))["schemas"]
    return {name: Draft202012Validator(schema) for name, schema in schemas.items()}


def pods(resources: Resources) -> Iterator[dict[str, Any]]:
    for each in resources.values():
        if each["kind"] in {"Deployment", "Job", "StatefulSet"}:
            yield each["spec"]["template"]["spec"]


def environment(resource: dict[str, Any]) -> dict[str, str]:
    (container,) = resource["spec"]["template"]["spec"]["containers"]
    found = {each["name"]: each["value"] for each in container["env"]}
    assert len(found) == len(container["env"]), "a variable that is given twice"
    return found


def files_of(resource: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Of the volume with secrets: each file with its secret and the key there."""
    (volume,) = resource["spec"]["template"]["spec"]["volumes"]
    return {
        item["path"]: (source["secret"]["name"], item["key"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }
