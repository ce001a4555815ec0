"""Which parts of a payload are shown: by the classification that its schema has (`x-classification`).

A field that the schema does not know, as a newer release added it, is masked too: nobody said what it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from chassis.events import name_of
from shared_events.catalog import CATALOG
from shared_events.values import CLASSIFICATION

MASK: Final = "•••"
PRIVATE: Final = frozenset({"personal", "card"})
PUBLIC: Final = "public"
JsonSchema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """A payload as it may be shown; `masked` are the paths of what is hidden, with why."""

    payload: Any
    masked: Mapping[str, str]


def masked(wire_type: str, payload: Any, *, personal: bool = False) -> Shown:
    """With `personal` what identifies a person is shown as well; card data never are."""
    schema = _schema_of(name_of(wire_type))
    hidden: dict[str, str] = {}
    shown = _shown(payload, schema, schema, "", hidden, personal=personal)
    return Shown(shown, hidden)


@cache
def _schema_of(name: str) -> JsonSchema:
    """Of the newest version; of an event that the catalog does not have, one that knows no field."""
    for entry in CATALOG.entries:
        if name_of(entry.wire_type) == name:
            schema: JsonSchema = entry.adapter.json_schema(mode="validation")
            return schema
    return {}


def _shown(
    value: Any,
    schema: JsonSchema,
    root: JsonSchema,
    path: str,
    hidden: dict[str, str],
    *,
    personal: bool,
) -> Any:
    schema = _resolved(schema, root)
    match value:
        case dict():
            fields: Mapping[str, JsonSchema] = schema.get("properties", {})
            return {
                name: _shown(
                    each, fields.get(name, {}), root, _joined(path, name), hidden, personal=personal
                )
                for name, each in value.items()
            }
        case list():
            items: JsonSchema = schema.get("items", {})
            return [
                _shown(each, items, root, f"{path}[{n}]", hidden, personal=personal)
                for n, each in enumerate(value)
            ]
        case None | "":
            return value
        case _:
            kind = str(schema.get(CLASSIFICATION, "unknown"))
            if kind == PUBLIC or (personal and kind == "personal"):
                return value
            hidden[path] = kind if kind in PRIVATE else "not classified"
            return MASK


def _resolved(schema: JsonSchema, root: JsonSchema) -> JsonSchema:
    while "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        schema = root["$defs"][name]
    return schema


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
