"""The port to a payment provider, and a simulated one.

A provider honours its idempotency key: asked again with the same key, it answers the same and
moves no money a second time.
"""

import hashlib
from typing import Final, Protocol

from chassis.service import Attempt
from payment_svc.messages import Capture, CaptureDeclined, CaptureSucceeded, Refund, RefundSucceeded

DECLINING: Final = {
    "tok_declined": "card_declined",
    "tok_insufficient_funds": "insufficient_funds",
    "tok_expired": "expired_card",
}


class PaymentProvider(Protocol):
    """Raises anything for an unknown outcome: it is asked again with the same key."""

    async def capture(
        self, effect: Capture, attempt: Attempt
    ) -> CaptureSucceeded | CaptureDeclined: ...

    async def refund(self, effect: Refund, attempt: Attempt) -> RefundSucceeded: ...


class SimulatedProvider:
    """Declines by card token; its reference follows from the key, so it has nothing to remember."""

    async def capture(
        self, effect: Capture, attempt: Attempt
    ) -> CaptureSucceeded | CaptureDeclined:
        reason = DECLINING.get(effect.token)
        if reason is not None:
            return CaptureDeclined(order_id=effect.order_id, reason=reason)
        reference = "sim_" + hashlib.sha256(attempt.key.encode()).hexdigest()[:24]
        return CaptureSucceeded(order_id=effect.order_id, provider_ref=reference)

    async def refund(self, effect: Refund, attempt: Attempt) -> RefundSucceeded:
        del attempt
        return RefundSucceeded(order_id=effect.order_id)
