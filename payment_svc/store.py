"""Where payments live."""

from typing import Final

from chassis.postgres import StateTable
from payment_svc.domain import Captured, Capturing, Declined, Noted, Refunded, Refunding

PAYMENTS: Final = StateTable(
    "payments", "order_id", (Noted, Capturing, Captured, Declined, Refunding, Refunded)
)
