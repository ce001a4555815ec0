"""The payment service's tables, with the chassis' own in the same database."""

from sqlalchemy import Text
from sqlmodel import Field, SQLModel

from chassis.postgres.state_rows import StateRow
from chassis.postgres.tables import METADATA as METADATA  # noqa: PLC0414 - what migrations are checked against


class PaymentTable(StateRow, table=True):
    __tablename__ = "payments"

    order_id: str = Field(sa_type=Text, primary_key=True)


class PaymentDetailsTable(SQLModel, table=True):
    """Card data, folded from their compacted topic; what a tombstone has erased is empty texts."""

    __tablename__ = "payment_details"

    order_id: str = Field(sa_type=Text, primary_key=True)
    customer_id: str = Field(sa_type=Text, nullable=False)
    payment_token: str = Field(sa_type=Text, nullable=False)
