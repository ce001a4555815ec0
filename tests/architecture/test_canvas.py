"""The canvas on top of each domain says what the declaration and the code say."""

import re
from importlib import import_module
from typing import Any

import pytest

from chassis.service import Service
from saga_cli.topology import SERVICES, ServiceSpec
from shared_events.catalog import CATALOG, PRIVATE, events_of
from shared_events.payment import PaymentCaptured
from shared_events.values import Line

COMPANIONS = set(PRIVATE)  # published beside a decision, not decided
EVENTS = {event.__name__: event for event in CATALOG.by_event}
each_service = pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)


def declared(spec: ServiceSpec) -> Service:
    service = import_module(f"{spec.module}.service").SERVICE
    assert isinstance(service, Service)
    return service


def domain(spec: ServiceSpec) -> Any:
    return import_module(f"{spec.module}.domain")


def canvas(spec: ServiceSpec, heading: str) -> set[type[Any]]:
    """The events that one entry of the canvas names; an entry goes on in indented lines."""
    text = domain(spec).__doc__
    entry = re.search(rf"^{heading} +(.*(?:\n +.*)*)", text, re.MULTILINE)
    assert entry is not None, f"{spec.name} has no entry {heading}"
    return {EVENTS[word] for word in re.findall(r"\b[A-Z]\w+", entry[1])}


@each_service
def test_canvas_names_what_is_consumed(spec: ServiceSpec) -> None:
    assert canvas(spec, "consumes") == set(declared(spec).consumes)


@each_service
def test_canvas_names_what_is_published(spec: ServiceSpec) -> None:
    assert canvas(spec, "publishes") == set(declared(spec).publishes) - COMPANIONS


@each_service
def test_a_service_publishes_its_own_events_only(spec: ServiceSpec) -> None:
    service = declared(spec)
    owned = {entry.event for entry in CATALOG.by_event.values() if entry.owner == spec.name}
    assert set(service.publishes) == owned
    assert all(CATALOG.by_event[event].owner != spec.name for event in service.consumes)


def test_every_event_that_is_consumed_is_published() -> None:
    published = {event for spec in SERVICES for event in declared(spec).publishes}
    assert {event for spec in SERVICES for event in declared(spec).consumes} <= published


def test_an_event_that_is_not_listed_is_no_part_of_a_declaration() -> None:
    with pytest.raises(KeyError):
        events_of(PaymentCaptured | Line)
