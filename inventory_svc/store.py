"""Where reservations and stock live. Stock rows are locked in the order of their SKUs."""

from typing import Final, get_args

from chassis.postgres import SharedTable, StateTable
from inventory_svc.domain import Level, Reservation

# Absent has no row
RESERVATIONS: Final = StateTable("reservations", "order_id", get_args(Reservation)[1:])
STOCK: Final = SharedTable("stock", "sku", Level)
