"""The log as tools for one notion of a case read it: XES (IEEE 1849-2016), and a table (CSV)."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from saga_cli.history.showing import TimelineStep
from saga_cli.observed.cases import Case
from saga_cli.observed.objects import CustomerIds, attributes_of, by_time, order_of, orders
from saga_cli.observed.ocel import instant

EXTENSIONS: Final = {
    "concept": "Concept",
    "lifecycle": "Lifecycle",
    "org": "Organizational",
    "time": "Time",
}
COLUMNS: Final = (
    "case",
    "activity",
    "timestamp",
    "resource",
    "cause",
    "event",
    "customer",
    "reason",
)
"""Of the table. `case` is the order, `resource` the service, `event` the event's id."""


def xes(cases: Iterable[Case]) -> Iterator[str]:
    """A trace for each order, in the order of their ids; its events by time."""
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield '<log xes.version="2.0" xes.features="">'
    for prefix, name in EXTENSIONS.items():
        uri = f"http://www.xes-standard.org/{prefix}.xesext"
        yield f'  <extension name="{name}" prefix="{prefix}" uri="{uri}"/>'
    yield '  <classifier name="Activity" keys="concept:name"/>'
    customers = CustomerIds()
    for case in orders(cases):
        yield "  <trace>"
        yield _value("concept:name", case.subject, 4)
        if order := order_of(case):
            yield _value("customer", customers.id_of(order.customer_id), 4)
            yield _value("total_minor", order.total_minor, 4)
            yield _value("currency", order.currency, 4)
        for step in by_time(case):
            yield from _event(step)
        yield "  </trace>"
    yield "</log>"


def _event(step: TimelineStep) -> Iterator[str]:
    yield "    <event>"
    yield _value("concept:name", step.envelope.type, 6)
    yield f'      <date key="time:timestamp" value="{instant(step.envelope.time)}"/>'
    yield _value("org:resource", step.service, 6)
    yield _value("lifecycle:transition", "complete", 6)
    for name, value in attributes_of(step.envelope).items():
        yield _value(name, value, 6)
    yield "    </event>"


def _value(key: str, value: Any, indent: int) -> str:
    kind = "int" if isinstance(value, int) else "string"
    return f"{' ' * indent}<{kind} key={quoteattr(key)} value={quoteattr(str(value))}/>"


def table(cases: Iterable[Case]) -> Iterator[str]:
    """A row for each event of an order, by order and time (RFC 4180)."""
    customers = CustomerIds()
    yield _row(COLUMNS)
    for case in orders(cases):
        order = order_of(case)
        customer = customers.id_of(order.customer_id) if order else ""
        causes = {step.number: cause for step, cause in case.causes()}
        for step in by_time(case):
            envelope = step.envelope
            what = (case.subject, envelope.type, instant(envelope.time), step.service)
            more = (causes[step.number], str(envelope.id), customer)
            yield _row((*what, *more, str(getattr(envelope.event, "reason", ""))))


def _row(cells: Sequence[str]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
