"""Schemas of what operators are given, out of their CRDs: `python -m scripts.operator_schemas NAME=FILE...`.

NAME is the project with its version, FILE one of its CRDs (YAML). It writes tests/support/operators.json.xz:
of the kinds that are rendered here, by `apiVersion kind`, a JSON Schema that refuses unknown fields.
Descriptions, statuses, and rules in CEL are left out.
"""

import argparse
import json
import lzma
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

PATH: Final = Path(__file__).parents[1] / "tests" / "support" / "operators.json.xz"
KINDS: Final = frozenset(
    (
        "Cluster",
        "Kafka",
        "KafkaNodePool",
        "KafkaTopic",
        "KafkaUser",
        "NetworkChaos",
        "ObjectStore",
        "PodChaos",
        "PrometheusRule",
        "ScaledObject",
        "ScheduledBackup",
        "ServiceMonitor",
        "TimeChaos",
    )
)
KEPT: Final = (
    *("type", "enum", "pattern", "required", "minimum", "maximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "oneOf", "anyOf", "allOf", "not"),
)
OPEN: Final = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource")


def schemas_of(definition: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of each version of a CRD that is served, by apiVersion and kind."""
    spec = definition["spec"]
    kind = spec["names"]["kind"]
    for version in spec["versions"] if kind in KINDS else ():
        if version["served"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"].pop("status", None)
            yield f"{spec['group']}/{version['name']} {kind}", schema


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """As an API server reads it that refuses what it does not know; `metadata` has fields of its own."""
    found = {name: schema[name] for name in KEPT if name in schema}
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if schema.get("nullable") and "type" in found:
        found["type"] = [found["type"], "null"]
    if "items" in schema:
        found["items"] = strict(schema["items"])
    if properties := schema.get("properties"):
        found["properties"] = {name: strict(each) for name, each in properties.items()}
    more = schema.get("additionalProperties")
    if isinstance(more, Mapping):
        found["additionalProperties"] = strict(more)
    elif properties and not more and not any(map(schema.get, OPEN)):
        found["additionalProperties"] = False
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("crds", nargs="+", metavar="NAME=FILE")
    made: dict[str, Any] = {"sources": {}, "schemas": {}}
    for asked in parser.parse_args().crds:
        project, _, file = asked.partition("=")
        for definition in yaml.safe_load_all(Path(file).read_text("utf-8")):
            for name, schema in schemas_of(definition):
                made["schemas"][name] = schema
                made["sources"][name] = project
    text = json.dumps(made, sort_keys=True, separators=(",", ":"))
    PATH.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    sys.stdout.write(f"{len(made['schemas'])} schemas, {PATH.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
