"""Pages and other files that are made from the code: `python -m tests.docs_pages` writes them."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic_core import to_json

from chassis.events import Entry, dead_letters_of
from saga_cli.deploy.contracts import contracts_of, path_of
from saga_cli.deploy.released import reads_of
from saga_cli.schema.snapshot import written
from saga_cli.topology import SERVICES, ServiceSpec
from shared_events.catalog import CATALOG
from shared_events.values import Line, Order
from tests import state_tables
from tests.asyncapi import asyncapi_page
from tests.cli_page import cli_page
from tests.compose_page import (
    COMPOSE,
    HBA,
    SECURED_HBA,
    compose_file,
    hba_file,
    secured_hba_file,
)
from tests.domain.samples.all import BY_SERVICE
from tests.flow_picture import flow_svg
from tests.helm_page import helm_files
from tests.lanes_page import LANES, lanes_file
from tests.metrics_page import metrics_page
from tests.overlay_page import OVERLAYS
from tests.overtaking_page import TESTING, testing_page
from tests.secured_compose_page import SECURED, secured_compose_file
from tests.support.documents import document_of
from tests.threat_page import THREATS, threat_page

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
CELLS: Final = ROOT / "simulation" / "cells.json"
CAUSES: Final = ROOT / "guarantees" / "causes.json"
INTRODUCTION: Final = """\
# Events

Made by `python -m tests.docs_pages` from `shared_events/`, each service's declaration, and
the answers of its rules to the samples in `tests/domain/samples/`; a test compares it with the code.
Do not edit it by hand.

Every event is a CloudEvent 1.0 in Kafka's binary mode: the attributes are headers (`ce_id`,
`ce_type`, `ce_source`, `ce_subject`, `ce_time`, `ce_sequence`, `ce_sagaid`, `ce_causationid`, and
`traceparent`), the value is JSON, the key is the subject. The same decision always has the same
`ce_id`. A topic is written by the service that owns it and by nobody else. Amounts are integers in
minor units of the currency, from 0 to 2^53 - 1. A field marked `?` may be missing in older events.

A topic holds the events of one owner on which the same services act, so that none is woken by what it
passes over (`shared_events/lanes.py`): `forward` what the next service acts on, `backward` what the one
before does, `cancellation` what all others do, `outcome` what some do, and `facts` what nobody does.
Within a topic Kafka keeps the order of a key; over all topics of an owner `ce_sequence` counts it
without a gap.

A reader takes an event only if all that is said of it agrees: the type is one of its topic's, the
source is the topic's owner, the key, `ce_subject`, `ce_sagaid` and the id in the value are one, and
the partition is the key's. What does not agree, lacks an attribute, has one twice, or is off its
schema or its limits is a dead letter; also of events that a reader of the topic does not act on what
is in a wrong place or from a wrong source. A service that is rebuilt from its own topics takes only
what has the id and the number of a decision ([security.md](security.md#hostile-input)).
"""
SHARED_ROUTES: Final = ("/health/", "/metrics", "/ops/", "/version")


def events_page() -> str:
    """docs/events.md as the code says it should be."""
    sections = (_section(spec) for spec in SERVICES)
    parts = [INTRODUCTION, _flow(), _http(), state_tables.LEGEND, *sections, _values()]
    return "\n".join(parts)


def cells_file() -> str:
    """simulation/cells.json: which state may meet which message."""
    tables = {name: state_tables.cells(samples) for name, samples in BY_SERVICE.items()}
    return to_json(tables, indent=1).decode() + "\n"


def causes_file() -> str:
    """guarantees/causes.json: what each service publishes on which message."""
    found = {name: state_tables.causes(samples) for name, samples in BY_SERVICE.items()}
    return to_json(found, indent=1).decode() + "\n"


def _declaration(spec: ServiceSpec) -> Any:
    return import_module(f"{spec.module}.service").SERVICE


def _readers(entry: Entry) -> list[str]:
    """Who decides on an event or folds its topic."""
    return [
        spec.name
        for spec in SERVICES
        if entry.event in _declaration(spec).consumes
        or entry.topic in _declaration(spec).projections
    ]


def _flow() -> str:
    rows = [
        (
            f"**{spec.name}**",
            _state(spec),
            _names(_declaration(spec).consumes),
            _names(_declaration(spec).publishes),
        )
        for spec in SERVICES
    ]
    head = ("service", "state", "consumes", "publishes")
    return "## Who consumes and publishes what\n\n" + _table(head, rows)


def _http() -> str:
    """The routes that are a service's own."""
    rows = [(f"**{spec.name}**", f"{spec.port}", ", ".join(_routes(spec))) for spec in SERVICES]
    return "## What each service offers over HTTP\n\n" + _table(("service", "port", "routes"), rows)


def _routes(spec: ServiceSpec) -> Iterator[str]:
    for path, operations in document_of(spec.name)["paths"].items():
        if not path.startswith(SHARED_ROUTES):
            yield from (f"`{method.upper()} {path}`" for method in operations)


def _state(spec: ServiceSpec) -> str:
    if not spec.has_database:
        return "Redis"
    cache = "; Redis as a cache" if spec.redis_database is not None else ""
    return f"PostgreSQL `{spec.database}`{cache}"


def _names(events: Iterable[type[Any]]) -> str:
    return ", ".join(f"`{_short(CATALOG.by_event[event])}`" for event in events)


def _short(entry: Entry) -> str:
    return entry.wire_type.rpartition(".")[0]


def _section(spec: ServiceSpec) -> str:
    topics = sorted({entry.topic for entry in CATALOG.entries if entry.owner == spec.name})
    head = f"## {spec.name}\n\nTopics: {', '.join(f'`{topic}`' for topic in topics)}; "
    if former := sorted({*CATALOG.log_of(spec.name)} - {*topics}):
        head += f"of earlier releases, and read still: {', '.join(f'`{t}`' for t in former)}; "
    head += f"dead letters: `{dead_letters_of(spec.name)}`.\n\n"
    events = (_event(entry) for entry in CATALOG.entries if entry.owner == spec.name)
    return head + "\n".join((*events, _decisions(spec)))


def _decisions(spec: ServiceSpec) -> str:
    samples = BY_SERVICE[spec.name]
    table = _table(state_tables.columns(samples), state_tables.rows(samples))
    return f"### What {spec.name} decides\n\n{table}"


def _event(entry: Entry) -> str:
    readers = ", ".join(_readers(entry)) or "nobody: it is there to rebuild its owner's state"
    key = entry.subject.rpartition(".")[2]
    return (
        f"### `{entry.wire_type}`\n\n{_summary(entry.event)}\n\n"
        f"- topic `{entry.topic}`, key `{key}`\n"
        f"- read by: {readers}\n"
        f"- fields: {_fields(entry.event)}\n"
    )


LIMITS: Final = {"ge": "from", "le": "to"}


def _summary(kind: type[Any]) -> str:
    return " ".join((kind.__doc__ or "").split())


def _fields(kind: type[Any]) -> str:
    return ", ".join(_field(field) for field in fields(kind) if field.name != "unknown")


def _field(field: Field[Any]) -> str:
    optional = field.default is not MISSING or field.default_factory is not MISSING
    return f"`{field.name}`{'?' if optional else ''} {_type_name(field.type)}"


def _type_name(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"{get_args(kind)[0].__name__}[]"
    if get_origin(kind) is Annotated:
        base, info = get_args(kind)
        limits = [f"{w} {n}" for a, w in LIMITS.items() for n in _values_of(info.metadata, a)]
        return " ".join([_type_name(base), *limits])
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _values_of(constraints: Iterable[Any], attribute: str) -> Iterator[str]:
    yield from (f"{getattr(c, attribute):,}" for c in constraints if hasattr(c, attribute))


def _values() -> str:
    """The values that events share."""
    parts = [
        f"### {v.__name__}\n\n{_summary(v)}\n\n- fields: {_fields(v)}\n" for v in (Order, Line)
    ]
    return "## Values\n\n" + "\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def contract_files() -> Iterator[tuple[Path, Callable[[], str]]]:
    """Of each service, what it reads of each neighbour."""
    for spec in SERVICES:
        reads = reads_of(_declaration(spec))
        for producer, contract in contracts_of(spec.name, reads).items():
            path = path_of(ROOT, spec.name, producer)
            yield path, partial(bytes.decode, written(contract))


MADE: Final[Mapping[Path, Callable[[], str]]] = {
    DOCS / "events.md": events_page,
    DOCS / "asyncapi.yaml": asyncapi_page,
    DOCS / "cli.md": cli_page,
    DOCS / "flow.svg": flow_svg,
    CAUSES: causes_file,
    CELLS: cells_file,
    COMPOSE: compose_file,
    HBA: hba_file,
    SECURED: secured_compose_file,
    SECURED_HBA: secured_hba_file,
    LANES: lanes_file,
    TESTING: testing_page,
    THREATS: threat_page,
    DOCS / "metrics.md": metrics_page,
    **dict(contract_files()),
    **dict(helm_files()),
    **OVERLAYS,
}
"""Files that are made from the code, as it says that they should be."""


def main() -> None:
    for path, made in MADE.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(made(), encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
