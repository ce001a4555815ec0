"""Where reservations and stock live. Stock rows are locked in the order of their SKUs."""

from typing import Final

from chassis.postgres import SharedTable, StateTable
from inventory_svc.domain import Committed, Level, Noted, Rejected, Released, Reserved, Shipped

RESERVATIONS: Final = StateTable(
    "reservations", "order_id", (Noted, Reserved, Committed, Shipped, Released, Rejected)
)
STOCK: Final = SharedTable("stock", "sku", Level)
