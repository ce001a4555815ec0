"""The loyalty service, declared."""

from dataclasses import replace
from functools import partial
from typing import Any, Final

from chassis.service import Service
from loyalty_svc import domain
from loyalty_svc.domain import Awarded, Deducted
from loyalty_svc.manifest import MANIFEST
from loyalty_svc.messages import SetStanding
from loyalty_svc.store import PSEUDONYMS
from shared_events.catalog import CATALOG, CUSTOMERS, events_of
from shared_events.loyalty import (
    CustomerReinstated,
    CustomerSuspended,
    PointsAwarded,
    PointsDeducted,
)
from shared_events.shipping import ShipmentCreated


def customers_of(own: Any, message: Any) -> frozenset[str]:
    match message:
        case ShipmentCreated(order=order):
            return frozenset({order.customer_id})
        case (
            SetStanding(customer_id=customer_id)
            | PointsAwarded(customer_id=customer_id)
            | PointsDeducted(customer_id=customer_id)
            | CustomerSuspended(customer_id=customer_id)
            | CustomerReinstated(customer_id=customer_id)
        ):
            return frozenset({customer_id})
        case _:
            return frozenset({own.customer_id} if isinstance(own, Awarded | Deducted) else ())


SERVICE: Final = Service(
    name="loyalty",
    version=MANIFEST.version,
    catalog=CATALOG,
    decide=domain.decide,
    evolve=domain.evolve,
    initial=domain.INITIAL,
    consumes=events_of(domain.Input),
    publishes=events_of(domain.Event),
    combined=domain.State,
    shared_keys=customers_of,
    merge=domain.merge,
    projections={CUSTOMERS: PSEUDONYMS},
)


def with_policy(policy: domain.Policy) -> Service:
    return replace(SERVICE, decide=partial(domain.decide, policy=policy))
