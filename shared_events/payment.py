"""Published by the payment service on `payment.events`."""

from dataclasses import dataclass

from shared_events.values import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptureRequested:
    """The intent, recorded before the provider is asked."""

    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptured:
    """The money is taken: the shipment may be made."""

    order: Order
    captured_minor: int
    provider_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDeclined:
    """No money was taken."""

    order_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefundRequested:
    """The refund's intent, recorded before the provider is asked: `fee_minor` is the fees' sum."""

    order_id: str
    reason: str
    refused_by: str
    refund_minor: int
    fee_minor: int
    restocking_fee_minor: int = 0
    provider_fee_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefundRefused:
    """The provider won't give it back this time: it is asked for again later, as a new refund."""

    order_id: str
    reason: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefunded:
    """The compensation of PaymentCaptured: captured = refunded + fee, in minor units.

    `settled_by` is who says so: the provider, an operator, or nobody where fees took it all.
    """

    order_id: str
    reason: str
    refused_by: str
    captured_minor: int
    refunded_minor: int
    fee_minor: int
    currency: str
    restocking_fee_minor: int = 0
    provider_fee_minor: int = 0
    settled_by: str = "provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCancellationNoted:
    """A tombstone: the order was cancelled before it was seen here."""

    order_id: str
    reason: str
