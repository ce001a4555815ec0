"""Awards, and the customers they go to."""

from typing import Final

from loyalty_svc.domain import Award, Input
from loyalty_svc.messages import SetStanding
from loyalty_svc.service import SERVICE
from shared_events.loyalty import CustomerSuspended, PointsCancellationNoted
from tests.domain.builders import (
    awarded,
    cancellation_requested,
    deducted,
    points_rejected,
    shipment_cancellation_refused,
    shipment_created,
)
from tests.domain.samples import Samples

NOTED: Final = PointsCancellationNoted(order_id="o-1", reason="customer")
SUSPENDED: Final = CustomerSuspended(customer_id="c-1")
SUSPEND: Final = SetStanding(customer_id="c-1", suspended=True)
REINSTATE: Final = SetStanding(customer_id="c-1", suspended=False)
AWARDED: Final = (awarded(),)
DEDUCTED: Final = (*AWARDED, deducted())
AWARDED_AGAIN: Final = (*DEDUCTED, awarded(attempt=2))
REJECTED: Final = (SUSPENDED, points_rejected())

SAMPLES: Final = Samples(
    service=SERVICE,
    states=Award,
    inputs=Input,
    histories={
        "Absent": (),
        "Absent, customer suspended": (SUSPENDED,),
        "Noted": (NOTED,),
        "Awarded, attempt 1": AWARDED,
        "Deducted": DEDUCTED,
        "Awarded, attempt 2": AWARDED_AGAIN,
        "Rejected": REJECTED,
    },
    messages={
        "SetStanding, suspended": SUSPEND,
        "SetStanding, reinstated": REINSTATE,
        "shipment.created": shipment_created(),
        "shipment.cancellation_refused": shipment_cancellation_refused(),
        "order.cancellation_requested": cancellation_requested(),
    },
)
