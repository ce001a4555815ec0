"""Where payments live, and what they are paid with."""

from typing import Final, get_args

from chassis.postgres import ProjectedTable, StateTable
from payment_svc.domain import State
from shared_events.catalog import CATALOG
from shared_events.order import PaymentDetailsGiven

PAYMENTS: Final = StateTable("payments", "order_id", get_args(State)[1:])  # Absent has no row
PAYMENT_DETAILS: Final = ProjectedTable(
    CATALOG,
    PaymentDetailsGiven,
    "payment_details",
    ("customer_id", "payment_token"),
    key="order_id",
)
