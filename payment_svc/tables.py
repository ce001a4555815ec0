"""The payment service's tables, with the chassis' own in the same database."""

from chassis.order_rows import OrderRow
from chassis.tables import METADATA as METADATA  # noqa: PLC0414 - what migrations are checked against


class PaymentTable(OrderRow, table=True):
    __tablename__ = "payments"
