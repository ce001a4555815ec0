"""The port to a payment provider, and a simulated one.

A provider honours its idempotency key: asked again with the same key, it answers the same and
moves no money a second time.
"""

import hashlib
from dataclasses import replace
from typing import Final, Protocol

from chassis.effects import WithDetails
from chassis.errors import ProviderError, RefusedError
from chassis.service import Attempt, EffectRunner, LookUp
from payment_svc.messages import (
    Capture,
    CaptureDeclined,
    CaptureSucceeded,
    Refund,
    RefundRefused,
    RefundSucceeded,
)
from shared_events import money

CaptureOutcome = CaptureSucceeded | CaptureDeclined
RefundOutcome = RefundSucceeded | RefundRefused

DECLINING: Final = {
    "tok_declined": "card_declined",
    "tok_insufficient_funds": "insufficient_funds",
    "tok_expired": "expired_card",
}
FLAKY: Final = "tok_flaky"  # the first answer is lost
REFUND_REFUSED: Final = "tok_refund_refused"  # the first refund is refused, the next is not
REFUSING: Final = "sim_refuses_"


class PaymentProvider(Protocol):
    """Raises anything for an unknown outcome: it is asked again with the same key."""

    async def capture(self, effect: Capture, attempt: Attempt) -> CaptureOutcome: ...

    async def refund(self, effect: Refund, attempt: Attempt) -> RefundOutcome: ...

    async def close(self) -> None: ...


class SimulatedProvider:
    """Decides by card token; its reference follows from the key, so it has nothing to remember."""

    async def capture(self, effect: Capture, attempt: Attempt) -> CaptureOutcome:
        reason = DECLINING.get(effect.token)
        if not money.is_payable(effect.amount_minor, effect.currency):
            reason = "invalid_amount"
        if reason is not None:
            return CaptureDeclined(order_id=effect.order_id, reason=reason)
        if effect.token == FLAKY and attempt.number == 1:
            raise ProviderError("the answer was lost")
        prefix = REFUSING if effect.token == REFUND_REFUSED else "sim_"
        reference = prefix + hashlib.sha256(attempt.key.encode()).hexdigest()[:24]
        return CaptureSucceeded(order_id=effect.order_id, provider_ref=reference)

    async def refund(self, effect: Refund, attempt: Attempt) -> RefundOutcome:
        del attempt
        if not money.is_payable(effect.amount_minor, effect.currency):
            raise RefusedError(f"{effect.amount_minor} is no amount of {effect.currency}")
        if effect.attempt == 1 and effect.provider_ref.startswith(REFUSING):
            return RefundRefused(order_id=effect.order_id, reason="expired_or_canceled_card")
        return RefundSucceeded(order_id=effect.order_id)

    async def close(self) -> None:
        """Nothing is open."""


def with_token(capture: EffectRunner, look_up: LookUp) -> EffectRunner:
    """Gives the provider the token of the order's payment details. It is in no event and no effect."""
    return WithDetails(
        capture,
        look_up,
        needs=lambda effect: not effect.token,
        fill=lambda effect, details: replace(effect, token=details["payment_token"]),
        erased=lambda effect: CaptureDeclined(order_id=effect.order_id, reason="details_erased"),
    )
