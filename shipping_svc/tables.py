"""The shipping service's tables, with the chassis' own in the same database."""

from sqlalchemy import Column, Text
from sqlmodel import Field, SQLModel

from chassis.postgres.state_rows import StateRow
from chassis.postgres.tables import METADATA as METADATA  # noqa: PLC0414 - what migrations are checked against


class ShipmentTable(StateRow, table=True):
    __tablename__ = "shipments"

    order_id: str = Field(sa_type=Text, primary_key=True)


class DeliveryDetailsTable(SQLModel, table=True):
    """Personal data, folded from its compacted topic; what a tombstone has erased is empty texts."""

    __tablename__ = "delivery_details"

    order_id: str = Field(sa_type=Text, primary_key=True)
    name: str = Field(sa_type=Text, nullable=False)
    street: str = Field(sa_type=Text, nullable=False)
    city: str = Field(sa_type=Text, nullable=False)
    email: str = Field(sa_type=Text, nullable=False)
    postal_code: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    customer_id: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
