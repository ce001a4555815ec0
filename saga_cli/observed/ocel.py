"""The log in OCEL 2.0 (JSON): events, and the objects that each is about.

https://www.ocel-standard.org/specification/formats/json/: values are texts, whatever their declared type.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from tempfile import TemporaryFile
from typing import IO, Any, Final

from saga_cli.history.showing import TimelineStep
from saga_cli.observed.cases import Case
from saga_cli.observed.objects import (
    OWN,
    CustomerIds,
    Related,
    attributes_of,
    by_time,
    order_of,
    own_id,
    products_of,
    related,
)

Json = dict[str, Any]
OF_ORDERS: Final = ("total_minor", "currency", "country")
LINKS: Final = {"payment": "pays", "shipment": "delivers"}
OF_A_CASE: Final = ("order", "payment", "shipment")
SHARED: Final = ("customer", "product")
"""Objects that belong to one order, and those of many."""
EVENT: Final = "event"
TYPES: Final = {int: "integer", str: "string"}
OBJECT_TYPES: Final[Sequence[Json]] = (
    {
        "name": "order",
        "attributes": [
            {"name": "total_minor", "type": "integer"},
            {"name": "currency", "type": "string"},
            {"name": "country", "type": "string"},
        ],
    },
    *({"name": name, "attributes": []} for name in ("customer", "product", "payment", "shipment")),
)


def ocel(cases: Iterable[Case]) -> Iterator[str]:
    """The document in lines, of cases by subject: events by case and time, objects by type and id.

    What an order has of its own waits in files; customers, products and types of events are in memory.
    """
    with ExitStack() as held:
        files = (held.enter_context(TemporaryFile("w+")) for _ in (*OF_A_CASE, EVENT))
        found = _Collected(dict(zip((*OF_A_CASE, EVENT), map(_Lines, files), strict=True)))
        for case in cases:
            found.add(case)
        yield "{"
        yield f'"objectTypes": {json.dumps(OBJECT_TYPES)},'
        yield f'"eventTypes": {json.dumps(found.event_types())},'
        yield '"objects": ['
        yield from separated(found.objects())
        yield '],\n"events": ['
        yield from separated(found.lines[EVENT].all())
        yield "]\n}"


def separated(lines: Iterable[str]) -> Iterator[str]:
    """With a comma after each but the last."""
    before = ""
    for line in lines:
        if before:
            yield f"{before},"
        before = line
    if before:
        yield before


@dataclass
class _Lines:
    """Lines in a file that has no name, to be read once all are written."""

    file: IO[str]

    def add(self, found: Json) -> None:
        self.file.write(f"{json.dumps(found)}\n")

    def all(self) -> Iterator[str]:
        self.file.seek(0)
        return (line.rstrip("\n") for line in self.file)


@dataclass
class _Collected:
    """What the cases so far have made; `kinds` are types of attributes by the type of an event."""

    lines: Mapping[str, _Lines]
    kinds: dict[str, dict[str, str]] = field(default_factory=dict)
    shared: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in SHARED})
    customers: CustomerIds = field(default_factory=CustomerIds)

    def add(self, case: Case) -> None:
        own: dict[tuple[str, str], Json] = {}
        for step, cause in _causes(case):
            self._note_kind(step)
            about = list(related(case, step, self.customers))
            self.lines[EVENT].add(_event(step, cause, about))
            for each in about:
                if each.type in self.shared:
                    self.shared[each.type].add(each.id)
                else:
                    own.setdefault((each.type, each.id), _object(each.type, each.id))
        _describe(case, own, self.customers)
        for (kind, _), made in own.items():
            self.lines[kind].add(made)

    def _note_kind(self, step: TimelineStep) -> None:
        known = self.kinds.setdefault(step.envelope.type, {"service": "string", "cause": "string"})
        found = attributes_of(step.envelope).items()
        known.update({name: TYPES[type(value)] for name, value in found})

    def event_types(self) -> list[Json]:
        return [
            {"name": name, "attributes": _typed(self.kinds[name])} for name in sorted(self.kinds)
        ]

    def objects(self) -> Iterator[str]:
        for kind in sorted((*SHARED, *OF_A_CASE)):
            if kind in self.shared:
                ids = sorted(self.shared[kind])
                yield from (json.dumps(_object(kind, id_)) for id_ in ids)
            else:
                yield from self.lines[kind].all()


def _causes(case: Case) -> Iterator[tuple[TimelineStep, str]]:
    causes = {step.number: cause for step, cause in case.causes()}
    yield from ((step, causes[step.number]) for step in by_time(case))


def _event(step: TimelineStep, cause: str, about: Iterable[Related]) -> Json:
    values = {"service": step.service, "cause": cause, **attributes_of(step.envelope)}
    return {
        "id": str(step.envelope.id),
        "type": step.envelope.type,
        "time": instant(step.envelope.time),
        "attributes": [{"name": name, "value": str(value)} for name, value in values.items()],
        "relationships": _links(about),
    }


def _object(type_: str, id_: str) -> Json:
    return {"id": id_, "type": type_, "attributes": [], "relationships": []}


def _describe(case: Case, found: dict[tuple[str, str], Json], customers: CustomerIds) -> None:
    """What is said of an order, and how the objects of its case are related."""
    for kind in OWN.values():
        if own := found.get((kind, own_id(kind, case))):
            own["relationships"] = _links([Related("order", case.subject, LINKS[kind])])
    if order := order_of(case):
        shown = found["order", case.subject]
        at = instant(order.placed_at)
        shown["attributes"] = [
            {"name": name, "time": at, "value": str(getattr(order, name))} for name in OF_ORDERS
        ]
        placed_by = Related("customer", customers.id_of(order.customer_id), "placed by")
        shown["relationships"] = _links([placed_by, *products_of(order, "contains")])


def _links(to: Iterable[Related]) -> list[Json]:
    return [{"objectId": each.id, "qualifier": each.qualifier} for each in to]


def _typed(attributes: dict[str, str]) -> list[Json]:
    return [{"name": name, "type": kind} for name, kind in attributes.items()]


def instant(at: datetime) -> str:
    """As RFC 3339 has it, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
