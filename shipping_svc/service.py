"""The shipping service, declared."""

from typing import Final

from chassis.service import Service
from shared_events.catalog import DELIVERY_DETAILS
from shared_events.loyalty import PointsDeducted, PointsRejected
from shared_events.order import OrderCancellationRequested, OrderConfirmed
from shared_events.payment import PaymentCaptured
from shared_events.shipping import (
    ShipmentApproved,
    ShipmentCancellationNoted,
    ShipmentCancellationRefused,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDispatched,
    ShipmentRejected,
)
from shipping_svc import domain
from shipping_svc.store import fold_delivery_details

SERVICE: Final = Service(
    name="shipping",
    decide=domain.decide,
    evolve=domain.evolve,
    initial=domain.INITIAL,
    consumes=(
        PaymentCaptured,
        OrderCancellationRequested,
        OrderConfirmed,
        PointsRejected,
        PointsDeducted,
    ),
    publishes=(
        ShipmentCreated,
        ShipmentRejected,
        ShipmentApproved,
        ShipmentDispatched,
        ShipmentCancelled,
        ShipmentCancellationRefused,
        ShipmentCancellationNoted,
    ),
    projections={DELIVERY_DETAILS: fold_delivery_details},
)
