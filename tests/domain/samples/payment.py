"""Payments."""

from typing import Final

from payment_svc.domain import Input, State
from payment_svc.messages import (
    Capture,
    CaptureDeclined,
    CaptureSucceeded,
    RefundRefused,
    RefundSucceeded,
)
from payment_svc.service import SERVICE
from shared_events.payment import PaymentCancellationNoted
from tests.domain.builders import (
    DEADLINE,
    cancellation_requested,
    capture_requested,
    captured,
    declined,
    refund_refused,
    refund_requested,
    refunded,
    reserved,
    shipment_cancelled,
    shipment_rejected,
)
from tests.domain.samples import Samples

NOTED: Final = PaymentCancellationNoted(order_id="o-1", reason="customer")
CHARGE: Final = Capture(order_id="o-1", amount_minor=3000, currency="EUR", deadline=DEADLINE)
SUCCEEDED: Final = CaptureSucceeded(order_id="o-1", provider_ref="ch-1")
CARD_DECLINED: Final = CaptureDeclined(order_id="o-1", reason="card_declined")
REFUND_SUCCEEDED: Final = RefundSucceeded(order_id="o-1")
REFUND_REFUSED: Final = RefundRefused(order_id="o-1", reason="expired_or_canceled_card")
CAPTURING: Final = (capture_requested(),)
CAPTURED: Final = (*CAPTURING, captured())
DECLINED: Final = (*CAPTURING, declined())
REFUNDING: Final = (*CAPTURED, refund_requested())
REFUSED: Final = (*REFUNDING, refund_refused())
REFUNDED: Final = (*REFUNDING, refunded())

SAMPLES: Final = Samples(
    service=SERVICE,
    states=State,
    inputs=Input,
    histories={
        "Absent": (),
        "Noted": (NOTED,),
        "Capturing": CAPTURING,
        "Captured": CAPTURED,
        "Declined": DECLINED,
        "Refunding": REFUNDING,
        "Refunding, refused before": REFUSED,
        "Refunded": REFUNDED,
    },
    messages={
        "stock.reserved": reserved(),
        "order.cancellation_requested": cancellation_requested(),
        "shipment.rejected": shipment_rejected(),
        "shipment.cancelled, by the customer": shipment_cancelled(fee=150),
        "shipment.cancelled, by us": shipment_cancelled("customer_suspended", "loyalty"),
        "CaptureSucceeded": SUCCEEDED,
        "CaptureDeclined": CARD_DECLINED,
        "RefundSucceeded": REFUND_SUCCEEDED,
        "RefundRefused": REFUND_REFUSED,
    },
)
