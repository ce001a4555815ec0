"""What the events of a log are about: orders, customers, products, payments and shipments."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final

from chassis.events import Envelope
from saga_cli.history.showing import TimelineStep
from saga_cli.observed.cases import Case
from shared_events.order import OrderPlaced
from shared_events.payment import PaymentCancellationNoted
from shared_events.pseudonyms import is_pseudonym
from shared_events.shipping import ShipmentCancellationNoted
from shared_events.values import Order

IDENTIFYING: Final = frozenset({"order", "order_id", "customer_id", "sku", "pseudonym"})
"""Fields that say what an event is about: relations, no attributes."""
OWN: Final = {"payment": "payment", "shipping": "shipment"}
"""What each of these services makes of an order, by the service."""
TOMBSTONES: Final = (PaymentCancellationNoted, ShipmentCancellationNoted)
"""Published where nothing was made yet."""
OF_THE_CUSTOMER: Final = "loyalty"
OF_PRODUCTS: Final = "inventory"


@dataclass(frozen=True, slots=True)
class Related:
    """An object that an event or another object is related to, and as what."""

    type: str
    id: str
    qualifier: str


@dataclass
class CustomerIds:
    """The id of each customer, which names nobody.

    Events of release 0.2 and before name the customer: those are numbered in the order in which they come.
    """

    _numbers: dict[str, str] = field(default_factory=dict)

    def id_of(self, named: str) -> str:
        if is_pseudonym(named):
            return named
        return self._numbers.setdefault(named, f"customer:{len(self._numbers) + 1}")


def order_of(case: Case) -> Order | None:
    """What was ordered; None where the log lacks the beginning, and for what is no order."""
    events = (step.envelope.event for step in case.steps)
    return next((event.order for event in events if isinstance(event, OrderPlaced)), None)


def by_time(case: Case) -> list[TimelineStep]:
    """Causes come before what they led to, also where two clocks differ by less than that."""
    return sorted(case.steps, key=lambda step: (step.envelope.time, step.number))


def related(case: Case, step: TimelineStep, customers: CustomerIds) -> Iterator[Related]:
    """What an event is about. That of a product or a customer is about no order."""
    if not case.is_order:
        event = step.envelope.event
        if hasattr(event, "sku"):
            yield Related("product", product_id(event.sku), "about")
        else:
            yield Related("customer", customers.id_of(case.subject), "about")
        return
    order, event = order_of(case), step.envelope.event
    yield Related("order", case.subject, "order")
    if (own := OWN.get(step.service)) and not isinstance(event, TOMBSTONES):
        yield Related(own, own_id(own, case), own)
    if order is None:
        return
    is_placed = isinstance(event, OrderPlaced)
    if is_placed or step.service == OF_THE_CUSTOMER:
        how = "placed by" if is_placed else "customer"
        yield Related("customer", customers.id_of(order.customer_id), how)
    if is_placed or step.service == OF_PRODUCTS:
        yield from products_of(order, "ordered" if is_placed else "product")


def products_of(order: Order, qualifier: str) -> Iterator[Related]:
    for sku in sorted({line.sku for line in order.lines}):
        yield Related("product", product_id(sku), qualifier)


def product_id(sku: str) -> str:
    return f"product:{sku}"


def own_id(kind: str, case: Case) -> str:
    """An order has one of a kind at most."""
    return f"{kind}:{case.subject}"


def attributes_of(envelope: Envelope) -> dict[str, Any]:
    """What an event says beside what it is about; of it what is a text or a number."""
    event = envelope.event
    named = ((f.name, getattr(event, f.name)) for f in fields(event) if f.name not in IDENTIFYING)
    return {name: value for name, value in named if isinstance(value, str | int) and value != ""}


def orders(cases: Iterable[Case]) -> Iterator[Case]:
    return (case for case in cases if case.is_order)
