"""A vocabulary as data. It imports no more than `shared_events`, so that other code runs it as well."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Event:
    """One wire type. `key` is a field's name; `reads` are older versions with a way to read them.

    `former` are topics in which it stood before, the newest last: it is read there still.
    """

    owner: str
    topic: str
    key: str
    reads: tuple[str, ...]
    schema: dict[str, Any]
    former: tuple[str, ...] = ()


Vocabulary = dict[str, Event]
ADAPTER: Final = TypeAdapter(Vocabulary)


def of(entries: Iterable[Any]) -> Vocabulary:
    return {
        entry.wire_type: Event(
            owner=entry.owner,
            topic=entry.topic,
            key="order_id" if entry.subject.startswith("order") else entry.subject,
            reads=getattr(entry, "wire_types", ())[:-1],  # 0.1.0 had no such thing
            schema=_on_the_wire(entry.adapter.json_schema()),
            former=getattr(entry, "former", ()),
        )
        for entry in entries
    }


def today() -> Vocabulary:
    """Raises ValueError for a catalog that makes no sense, such as a version that can't be read."""
    from shared_events.catalog import CATALOG  # noqa: PLC0415 - so that it can be told in one line

    return of(CATALOG.entries)


def _on_the_wire(schema: Any) -> Any:
    """Without titles; an object that keeps fields it does not know has none that is named `unknown`."""
    if isinstance(schema, list):
        return [_on_the_wire(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _on_the_wire(schema[name]) for name in schema}
    if isinstance(found.get("title"), str):
        del found["title"]
    if found.get("properties", {}).pop("unknown", None):
        found["additionalProperties"] = True
    return found


def written(vocabulary: Vocabulary) -> bytes:
    return ADAPTER.dump_json(vocabulary, indent=1) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(written(today()))
