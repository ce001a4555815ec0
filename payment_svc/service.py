"""The payment service, declared."""

from typing import Final

from chassis.service import Service
from payment_svc import domain
from payment_svc.domain import Capture, Refund
from shared_events.inventory import StockReserved
from shared_events.order import OrderCancellationRequested
from shared_events.payment import (
    PaymentCancellationNoted,
    PaymentCaptured,
    PaymentCaptureRequested,
    PaymentDeclined,
    PaymentRefunded,
    PaymentRefundRequested,
)
from shared_events.shipping import ShipmentCancelled, ShipmentRejected

SERVICE: Final = Service(
    name="payment",
    decide=domain.decide,
    evolve=domain.evolve,
    initial=domain.INITIAL,
    consumes=(StockReserved, OrderCancellationRequested, ShipmentRejected, ShipmentCancelled),
    publishes=(
        PaymentCaptureRequested,
        PaymentCaptured,
        PaymentDeclined,
        PaymentRefundRequested,
        PaymentRefunded,
        PaymentCancellationNoted,
    ),
    effects=(Capture, Refund),
)
