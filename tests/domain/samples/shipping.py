"""Shipments."""

from typing import Final

from shared_events.shipping import (
    ShipmentApproved,
    ShipmentCancellationNoted,
    ShipmentDispatched,
)
from shipping_svc.domain import DispatchShipment, Input, State
from shipping_svc.service import SERVICE
from tests.domain.builders import (
    cancellation_requested,
    captured,
    confirmed,
    deducted,
    points_rejected,
    shipment_cancellation_refused,
    shipment_cancelled,
    shipment_created,
    shipment_rejected,
)
from tests.domain.samples import Samples

NOTED: Final = ShipmentCancellationNoted(order_id="o-1", reason="customer")
DISPATCH: Final = DispatchShipment(order_id="o-1")
LEFT: Final = ShipmentDispatched(order_id="o-1")
MAY_LEAVE: Final = ShipmentApproved(order_id="o-1")
CREATED: Final = (shipment_created(),)
APPROVED: Final = (*CREATED, MAY_LEAVE)
DISPATCHED: Final = (*APPROVED, LEFT)
TOO_LATE_TO_CANCEL: Final = (*DISPATCHED, shipment_cancellation_refused())
CANCELLED: Final = (*CREATED, shipment_cancelled())
REJECTED: Final = (shipment_rejected(),)

SAMPLES: Final = Samples(
    service=SERVICE,
    states=State,
    inputs=Input,
    histories={
        "Absent": (),
        "Noted": (NOTED,),
        "Created": CREATED,
        "Approved": APPROVED,
        "Dispatched": DISPATCHED,
        "Dispatched, cancellation refused before": TOO_LATE_TO_CANCEL,
        "Cancelled": CANCELLED,
        "Rejected": REJECTED,
    },
    messages={
        "DispatchShipment": DISPATCH,
        "payment.captured": captured(),
        "payment.captured, no carrier goes there": captured(country="AQ"),
        "order.cancellation_requested": cancellation_requested(),
        "order.confirmed": confirmed(),
        "points.rejected": points_rejected(),
        "points.deducted": deducted(),
    },
)
