"""Two vocabularies compared: does new code read old events, and old code new ones?

A publisher writes each field that its schema has, also those with a default.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from saga_cli.schema.snapshot import Event, Vocabulary
from shared_events.values import CLASSIFICATION, HELD_SINCE

BACKWARD: Final = "new code can't read old events"
FORWARD: Final = "old code can't read new events"
UNNOTICED: Final = "old code would not notice"
LEAST: Final = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
MOST: Final = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
WORDING: Final = {
    *("title", "description", "default", "examples", "deprecated", "$defs"),
    *(CLASSIFICATION, HELD_SINCE),
}
"""What is in a schema for people."""
LOOKED_INTO: Final = {
    *("type", "enum", "const", "anyOf", "oneOf", "discriminator"),
    *("properties", "required", "additionalProperties", "items", "prefixItems"),
}
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """`breaks` says who is broken by it, and how; "" is nobody."""

    wire_type: str
    what: str
    breaks: str = ""


def changes(old: Vocabulary, new: Vocabulary) -> Iterator[SchemaChange]:
    """Every difference that matters to a reader, type by type."""
    newer = {wire_type: name for name, event in new.items() for wire_type in event.reads}
    for name, event in old.items():
        if name in new:
            yield from _changed(name, event, new[name])
        elif name in newer:
            yield from _moved(name, event, new[newer[name]])
            yield SchemaChange(name, f"is read as {newer[name]}, through an upcaster")
        else:
            yield SchemaChange(name, "is gone", BACKWARD)
        for lost in (version for version in event.reads if version not in {*new, *newer}):
            yield SchemaChange(lost, "is gone", BACKWARD)
    for name, event in new.items():
        if name not in old:
            readers = "it" if event.reads else event.topic
            yield SchemaChange(name, f"is new: whoever reads {readers} goes first")


def _changed(name: str, old: Event, new: Event) -> Iterator[SchemaChange]:
    yield from _moved(name, old, new)
    before, now = inlined(old.schema), inlined(new.schema)
    for what in unreadable(now, before):
        yield SchemaChange(name, what, BACKWARD)
    for what in unreadable(before, now):
        yield SchemaChange(name, what, FORWARD)
    fields, fields_now = dict(_fields(before)), dict(_fields(now))
    for path in fields_now.keys() - fields.keys():
        yield SchemaChange(name, f"{path} is new")
    for path in fields.keys() - fields_now.keys():
        if "default" in fields[path]:
            yield SchemaChange(name, f"{path} is gone", UNNOTICED)
    for path in fields.keys() & fields_now.keys():
        was, instead = (each[path].get("default") for each in (fields, fields_now))
        if was is not None and instead is not None and was != instead:
            yield SchemaChange(
                name, f"{path} was {was} where it is missing, now {instead}", UNNOTICED
            )


def _moved(name: str, old: Event, new: Event) -> Iterator[SchemaChange]:
    for place in ("owner", "topic", "key"):
        was, now = getattr(old, place), getattr(new, place)
        if was == now:
            continue
        if place == "topic" and was in new.former:
            yield SchemaChange(name, *_between_topics(was, now, new.former))
        else:
            yield SchemaChange(name, f"its {place} was {was}, now {now}", f"{BACKWARD}; {FORWARD}")
    for lost in (topic for topic in old.former if topic not in {new.topic, *new.former}):
        yield SchemaChange(name, f"is not read in {lost} any more", BACKWARD)


def _between_topics(was: str, now: str, former: Sequence[str]) -> tuple[str, str]:
    """New code reads both, and can write the newest of the former ones until old code is gone."""
    moved = f"moved from {was} to {now}"
    if was == former[-1]:
        return f"{moved}: whoever reads it goes first", ""
    return f"{moved}: old code does not look there", UNNOTICED


def inlined(schema: Schema) -> Schema:
    """With each definition in the place of its name."""
    definitions = schema.get("$defs", {})

    def put(part: Any) -> Any:
        if isinstance(part, list):
            return [put(each) for each in part]
        if not isinstance(part, dict):
            return part
        if reference := part.get("$ref"):
            return put(definitions[reference.removeprefix("#/$defs/")])
        return {name: put(each) for name, each in part.items() if name != "$defs"}

    found: Schema = put(dict(schema))
    return found


def _fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every field by its path, with those of objects and lists in it."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}{name}", field
        yield from _fields(field, f"{path}{name}.")
    for part in (schema.get("items"), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if part:
            yield from _fields(part, path)


def unreadable(reader: Schema, writer: Schema, path: str = "") -> Iterator[str]:
    """What a reader would stumble over in something that the writer may write."""
    if options := writer.get("anyOf") or writer.get("oneOf"):
        for option in options:
            yield from unreadable(reader, option, path)
        return
    if options := reader.get("anyOf") or reader.get("oneOf"):
        if all(any(unreadable(option, writer, path)) for option in options):
            yield f"{_at(path)} may be {_kind(writer)}, which is none of what is read"
        return
    kinds = reader.get("type", writer.get("type")), writer.get("type")
    if kinds[0] != kinds[1] and kinds != ("number", "integer"):
        yield f"{_at(path)} is {_kind(writer)} where {_kind(reader)} is read"
        return
    yield from _limits(reader, writer, path)
    yield from _inside(reader, writer, path)


def _at(path: str) -> str:
    return path.removeprefix(".") or "the value"


def _kind(schema: Schema) -> str:
    values = _values(schema)
    return (
        "one of " + ", ".join(map(repr, values)) if values else str(schema.get("type", "anything"))
    )


def _values(schema: Schema) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _limits(reader: Schema, writer: Schema, path: str) -> Iterator[str]:
    read, written = _values(reader), _values(writer)
    if read and not written:
        yield f"{_at(path)} may be anything where {_kind(reader)} is read"
    elif read and (more := [value for value in written if value not in read]):
        yield f"{_at(path)} may be {', '.join(map(repr, more))}, which is not read"
    for name in reader.keys() - WORDING - LOOKED_INTO:
        if name in LEAST | MOST:
            sign = 1 if name in LEAST else -1
            was_held = HELD_SINCE in reader  # by a writer whose schema did not say so yet
            fits = sign * writer[name] >= sign * reader[name] if name in writer else was_held
        else:
            fits = writer.get(name) == reader[name]
        if not fits:
            yield f"{_at(path)} needs {name} {reader[name]}, where it is {writer.get(name, 'free')}"


def _inside(reader: Schema, writer: Schema, path: str) -> Iterator[str]:
    wanted, there = reader.get("properties", {}), writer.get("properties", {})
    for name in reader.get("required", ()):
        if name not in there:
            yield f"{_at(f'{path}.{name}')} is needed, and is not there"
    for name in wanted.keys() & there.keys():
        yield from unreadable(wanted[name], there[name], f"{path}.{name}")
    more, mores = reader.get("additionalProperties"), writer.get("additionalProperties")
    if more is False and (unwanted := sorted(there.keys() - wanted.keys())):
        yield f"{_at(path)} may have no {', '.join(unwanted)}"
    if isinstance(more, dict) and isinstance(mores, dict):
        yield from unreadable(more, mores, f"{path}.*")
    pairs = zip(reader.get("prefixItems", ()), writer.get("prefixItems", ()), strict=False)
    for number, (one, other) in enumerate(pairs):
        yield from unreadable(one, other, f"{path}[{number}]")
    if isinstance(reader.get("items"), dict):
        yield from unreadable(reader["items"], writer.get("items") or {}, f"{path}[]")


def merged(found: list[SchemaChange]) -> list[SchemaChange]:
    """What breaks both ways once; what breaks first."""
    breaks: dict[tuple[str, str], set[str]] = {}
    for each in found:
        breaks.setdefault((each.wire_type, each.what), set()).add(each.breaks)
    merged_changes = (
        SchemaChange(*of, "; ".join(sorted(how - {""}))) for of, how in breaks.items()
    )
    return sorted(merged_changes, key=lambda c: (not c.breaks, c.wire_type, c.what))
