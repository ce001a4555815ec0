"""Where payments live."""

from typing import Final, get_args

from chassis.postgres import StateTable
from payment_svc.domain import State

PAYMENTS: Final = StateTable("payments", "order_id", get_args(State)[1:])  # Absent has no row
