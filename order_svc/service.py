"""The order service, declared."""

from typing import Any, Final

from chassis.service import Journal, Service
from order_svc import domain
from order_svc.manifest import MANIFEST
from order_svc.messages import DeadlinePassed, PlaceOrder, PriceProduct
from order_svc.store import CUSTOMERS as TABLE
from shared_events.catalog import CATALOG, CUSTOMERS, events_of
from shared_events.order import (
    CustomerIdentified,
    DeliveryDetailsGiven,
    PaymentDetailsGiven,
    ProductPriced,
)


def products_of(_own: Any, message: Any) -> frozenset[str]:
    match message:
        case PlaceOrder(cart=cart):
            return frozenset(line.sku for line in cart)
        case PriceProduct(sku=sku) | ProductPriced(sku=sku):
            return frozenset({sku})
        case _:
            return frozenset()


SERVICE: Final = Service(
    name="order",
    version=MANIFEST.version,
    catalog=CATALOG,
    decide=domain.decide,
    evolve=domain.evolve,
    initial=domain.INITIAL,
    first_messages=domain.FIRST,
    outstanding_effects=domain.awaited,
    consumes=events_of(domain.Input),
    publishes=(
        *events_of(domain.Event),
        DeliveryDetailsGiven,
        PaymentDetailsGiven,
        CustomerIdentified,
    ),
    timers={"DeadlinePassed": DeadlinePassed},
    combined=domain.State,
    shared_keys=products_of,
    merge=domain.merge,
    projections={CUSTOMERS: TABLE},
    journal=Journal("timeline", key="order_id", at="at", cause="heard", published="said"),
)
