"""Where shipments and delivery details live."""

from typing import Final, get_args

from chassis.postgres import ProjectedTable, StateTable
from shared_events.catalog import CATALOG
from shared_events.order import DeliveryDetailsGiven
from shipping_svc.domain import State

SHIPMENTS: Final = StateTable("shipments", "order_id", get_args(State)[1:])  # Absent has no row
DELIVERY_DETAILS: Final = ProjectedTable(
    CATALOG,
    DeliveryDetailsGiven,
    "delivery_details",
    ("name", "street", "city", "email", "postal_code", "customer_id"),
    key="order_id",
)
