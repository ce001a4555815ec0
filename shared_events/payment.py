"""Published by the payment service on its lanes."""

from dataclasses import dataclass
from typing import Any, Final, Self

from pydantic import model_validator

from shared_events.values import Count, Minor, Order, Public


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptureRequested:
    """The intent, recorded before the provider is asked."""

    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptured:
    """The money is taken: the shipment may be made. Never more than the order's total."""

    order: Order
    captured_minor: Minor
    provider_ref: Public

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.captured_minor > self.order.total_minor:
            raise ValueError("captured_minor is more than the order's total_minor")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDeclined:
    """No money was taken."""

    order_id: Public
    reason: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefundRequested:
    """The refund's intent, recorded before the provider is asked: `fee_minor` is the fees' sum."""

    order_id: Public
    reason: Public
    refused_by: Public
    refund_minor: Minor
    fee_minor: Minor
    restocking_fee_minor: Minor = 0
    provider_fee_minor: Minor = 0

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        _hold_fees(self.fee_minor, self.restocking_fee_minor, self.provider_fee_minor)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefundRefused:
    """The provider won't give it back this time: it is asked for again later, as a new refund."""

    order_id: Public
    reason: Public
    attempt: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefunded:
    """The compensation of PaymentCaptured: captured = refunded + fee, in minor units.

    `settled_by` is who says so: the provider, an operator, or nobody where fees took it all.
    """

    order_id: Public
    reason: Public
    refused_by: Public
    captured_minor: Minor
    refunded_minor: Minor
    fee_minor: Minor
    currency: Public
    restocking_fee_minor: Minor = 0
    provider_fee_minor: Minor = 0
    settled_by: Public = "provider"

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.captured_minor != self.refunded_minor + self.fee_minor:
            raise ValueError("captured_minor is not refunded_minor + fee_minor")
        _hold_fees(self.fee_minor, self.restocking_fee_minor, self.provider_fee_minor)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCancellationNoted:
    """A tombstone: the order was cancelled before it was seen here."""

    order_id: Public
    reason: Public


def _hold_fees(fee_minor: int, restocking_minor: int, provider_minor: int) -> None:
    """The parts may be unknown, of a release that did not tell them, but are never more than the sum."""
    if restocking_minor + provider_minor > fee_minor:
        raise ValueError("fee_minor is less than the fees it is made of")


EVENTS: Final[tuple[tuple[str, type[Any]], ...]] = (
    ("payment.capture_requested.v1", PaymentCaptureRequested),
    ("payment.captured.v1", PaymentCaptured),
    ("payment.declined.v1", PaymentDeclined),
    ("payment.refund_requested.v1", PaymentRefundRequested),
    ("payment.refund_refused.v1", PaymentRefundRefused),
    ("payment.refunded.v1", PaymentRefunded),
    ("payment.cancellation_noted.v1", PaymentCancellationNoted),
)
