"""The events of this system, as each owner's module lists them in EVENTS.

Each stands there with its newest wire type, in the order in which the pages list them.
"""

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, Final, get_args

from chassis.events import Catalog, Listed, name_of
from shared_events.lanes import FACTS, FORMER, LANES
from shared_events.order import CustomerIdentified, DeliveryDetailsGiven, PaymentDetailsGiven
from shared_events.owners import OWNERS
from shared_events.upcasting import UPCASTERS

CatalogRow = tuple[str, type[Any], str]
"""Newest wire type, event, owner."""

CUSTOMERS: Final = "order.customers"
DELIVERY_DETAILS: Final = "order.delivery-details"
PAYMENT_DETAILS: Final = "order.payment-details"
PRIVATE: Final[dict[type[Any], str]] = {
    DeliveryDetailsGiven: "delivery-details",
    PaymentDetailsGiven: "payment-details",
    CustomerIdentified: "customers",
}
"""Events with personal or card data, and their lanes: topics of which a tombstone erases a key."""
SUBJECTS: Final = {
    "order": "order.order_id",
    "order_id": "order_id",
    "sku": "sku",
    "pseudonym": "pseudonym",
    "customer_id": "customer_id",
}
"""What an event is about, by the first of these fields that it has."""


def listed(rows: Iterable[CatalogRow]) -> Iterator[Listed]:
    for wire_type, event, owner in rows:
        field = next(name for name in SUBJECTS if name in event.__dataclass_fields__)
        lane = PRIVATE.get(event) or LANES.get(name_of(wire_type), FACTS)
        former = () if event in PRIVATE else FORMER.get(owner, ())
        is_of_an_order = field in {"order", "order_id"}
        yield Listed(wire_type, event, owner, lane, SUBJECTS[field], is_of_an_order, former)


CATALOG: Final = Catalog(
    listed(
        (wire_type, event, owner)
        for owner in OWNERS
        for wire_type, event in import_module(f"shared_events.{owner}").EVENTS
    ),
    UPCASTERS,
    compacted=frozenset({CUSTOMERS, DELIVERY_DETAILS, PAYMENT_DETAILS}),
)


def events_of(union: Any) -> tuple[type[Any], ...]:
    """The events among the members of a union, such as a domain's `Input`, in their order.

    Raises KeyError for one that its module here does not list in EVENTS.
    """
    named_here = (k for k in get_args(union) if k.__module__.startswith("shared_events."))
    return tuple(CATALOG.by_event[kind].event for kind in named_here)
