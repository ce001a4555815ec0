"""CRDs of the kinds that operators read: made of the schemas that are kept here, or an operator's own."""

import json
import lzma
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.helm import OPERATORS

KIND: Final = "CustomResourceDefinition"
Crd = dict[str, Any]


def made_of_schemas() -> Iterator[Crd]:
    """One of each kind in operators.json.xz, with all of its versions there. Rules in CEL are not in it."""
    versions: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    schemas: dict[str, Any] = json.loads(lzma.decompress(OPERATORS.read_bytes()))["schemas"]
    for name, schema in schemas.items():
        api, kind = name.split()
        group, version = api.split("/")
        versions[group, kind][version] = structural(schema)
    for (group, kind), found in versions.items():
        yield _definition(group, kind, found)


def of_files(paths: Iterable[Path]) -> Iterator[Crd]:
    """Those in these files, and in the files of these folders."""
    for path in paths:
        files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
        for file in files:
            found = yaml.safe_load_all(file.read_text("utf-8"))
            yield from (each for each in found if each and each["kind"] == KIND)


def _definition(group: str, kind: str, versions: Mapping[str, Any]) -> Crd:
    singular = kind.lower()
    plural = singular if singular.endswith("s") else f"{singular}s"
    stored = max(versions, key=lambda version: ("alpha" not in version, "beta" not in version))
    names = {"kind": kind, "listKind": f"{kind}List", "singular": singular, "plural": plural}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": KIND,
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": names,
            "scope": "Namespaced",
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == stored,
                    "schema": {"openAPIV3Schema": schema},
                }
                for version, schema in versions.items()
            ],
        },
    }


def structural(schema: Mapping[str, Any]) -> Crd:
    """A root as a CRD has it: `metadata` is the server's own."""
    found = _structural(schema)
    found["properties"]["metadata"] = {"type": "object"}
    return found


def _structural(schema: Mapping[str, Any]) -> dict[str, Any]:
    """As before scripts/operator_schemas.py; where a CRD does not name a field, an API server prunes it."""
    found = dict(schema)
    match found.get("type"):
        case ["integer", "string"]:
            return {"x-kubernetes-int-or-string": True}
        case [kind, "null"]:
            found |= {"type": kind, "nullable": True}
        case _:
            pass
    more = found.pop("additionalProperties", None)
    if isinstance(more, Mapping):
        found["additionalProperties"] = _structural(more)
    elif more is None and found.get("type", "object") == "object":
        found["x-kubernetes-preserve-unknown-fields"] = True
    if "items" in found:
        found["items"] = _structural(found["items"])
    if "properties" in found:
        found["properties"] = {n: _structural(each) for n, each in found["properties"].items()}
    return found
