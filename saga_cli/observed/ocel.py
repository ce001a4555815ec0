"""The log in OCEL 2.0 (JSON): events, and the objects that each is about.

https://www.ocel-standard.org/specification/formats/json/: values are texts, whatever their declared type.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

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


def ocel(cases: Sequence[Case]) -> Json:
    """The document. Events are sorted by case and time, objects by type and id."""
    customers = CustomerIds()
    events = [
        _event(case, step, cause, customers) for case in cases for step, cause in _causes(case)
    ]
    kinds: dict[str, dict[str, str]] = {}
    for case in cases:
        for step in case.steps:
            known = kinds.setdefault(step.envelope.type, {"service": "string", "cause": "string"})
            found = attributes_of(step.envelope).items()
            known.update({name: TYPES[type(value)] for name, value in found})
    return {
        "objectTypes": list(OBJECT_TYPES),
        "eventTypes": [{"name": name, "attributes": _typed(kinds[name])} for name in sorted(kinds)],
        "objects": _objects(cases, customers),
        "events": events,
    }


def _causes(case: Case) -> Iterator[tuple[TimelineStep, str]]:
    causes = {step.number: cause for step, cause in case.causes()}
    yield from ((step, causes[step.number]) for step in by_time(case))


def _event(case: Case, step: TimelineStep, cause: str, customers: CustomerIds) -> Json:
    values = {"service": step.service, "cause": cause, **attributes_of(step.envelope)}
    return {
        "id": str(step.envelope.id),
        "type": step.envelope.type,
        "time": instant(step.envelope.time),
        "attributes": [{"name": name, "value": str(value)} for name, value in values.items()],
        "relationships": _links(related(case, step, customers)),
    }


def _objects(cases: Sequence[Case], customers: CustomerIds) -> list[Json]:
    found: dict[tuple[str, str], Json] = {}
    for case in cases:
        for step in case.steps:
            for each in related(case, step, customers):
                place = (each.type, each.id)
                found.setdefault(place, _object(each.type, each.id))
        _describe(case, found, customers)
    return [found[place] for place in sorted(found)]


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
