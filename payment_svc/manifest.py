"""The payment service, as it is known from outside."""

from typing import Final

from chassis.manifest import Call, Manifest

MANIFEST: Final = Manifest(
    name="payment",
    version="0.3.0-dev",
    port=8003,
    table="payments",
    provider="bank",
    calls=(
        Call(
            "Capturing",
            "Capture",
            "payment.capture_requested.v1",
            ("CaptureSucceeded", "CaptureDeclined"),
        ),
        Call(
            "Refunding",
            "Refund",
            "payment.refund_requested.v1",
            ("RefundSucceeded", "RefundRefused"),
        ),
    ),
    final={"Refunded": "payment.refunded.v1", "Declined": "payment.declined.v1"},
)
