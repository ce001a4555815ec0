"""The shipping service, declared."""

from dataclasses import replace
from functools import partial
from typing import Final

from chassis.service import Resolution, Service
from shared_events.catalog import CATALOG, DELIVERY_DETAILS, events_of
from shipping_svc import domain
from shipping_svc.manifest import MANIFEST
from shipping_svc.messages import (
    Book,
    Booked,
    BookingCancelled,
    BookingRefused,
    CancelBooking,
    DispatchDue,
    HandedOver,
    HandOver,
)
from shipping_svc.store import DELIVERY_DETAILS as DETAILS

SERVICE: Final = Service(
    name="shipping",
    version=MANIFEST.version,
    catalog=CATALOG,
    decide=domain.decide,
    evolve=domain.evolve,
    initial=domain.INITIAL,
    first_messages=domain.FIRST,
    outstanding_effects=domain.awaited,
    consumes=events_of(domain.Input),
    publishes=events_of(domain.Event),
    effects={"Book": Book, "HandOver": HandOver, "CancelBooking": CancelBooking},
    timers={"DispatchDue": DispatchDue},
    resolutions={
        "booked": Resolution(Book, lambda o, ref: Booked(order_id=o, carrier_ref=ref)),
        "rejected": Resolution(Book, lambda o, _: BookingRefused(order_id=o, reason="no_carrier")),
        "dispatched": Resolution(HandOver, lambda o, _: HandedOver(order_id=o)),
        "cancelled": Resolution(CancelBooking, lambda o, _: BookingCancelled(order_id=o)),
    },
    projections={DELIVERY_DETAILS: DETAILS},
)


def with_policy(policy: domain.Policy) -> Service:
    decide = partial(domain.decide, policy=policy)
    awaited = partial(domain.awaited, policy=policy)
    return replace(SERVICE, decide=decide, outstanding_effects=awaited)
