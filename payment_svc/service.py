"""The payment service, declared."""

from dataclasses import replace
from functools import partial
from typing import Final

from chassis.service import Resolution, Service
from payment_svc import domain
from payment_svc.manifest import MANIFEST
from payment_svc.messages import Capture, CaptureDeclined, CaptureSucceeded, Refund, RefundSucceeded
from payment_svc.store import PAYMENT_DETAILS as DETAILS
from shared_events.catalog import CATALOG, PAYMENT_DETAILS, events_of

SERVICE: Final = Service(
    name="payment",
    version=MANIFEST.version,
    catalog=CATALOG,
    decide=domain.decide,
    evolve=domain.evolve,
    initial=domain.INITIAL,
    first_messages=domain.FIRST,
    outstanding_effects=domain.awaited,
    consumes=events_of(domain.Input),
    publishes=events_of(domain.Event),
    effects={"Capture": Capture, "Refund": Refund},
    resolutions={
        "captured": Resolution(
            Capture,
            lambda order_id, reference: CaptureSucceeded(order_id=order_id, provider_ref=reference),
            needs_reference=True,  # a refund is asked for by it
        ),
        "declined": Resolution(
            Capture,
            lambda order_id, _: CaptureDeclined(order_id=order_id, reason="resolved_declined"),
        ),
        "refunded": Resolution(
            Refund, lambda order_id, _: RefundSucceeded(order_id=order_id, settled_by="operator")
        ),
    },
    projections={PAYMENT_DETAILS: DETAILS},
)


def with_policy(policy: domain.Policy) -> Service:
    return replace(SERVICE, decide=partial(domain.decide, policy=policy))
