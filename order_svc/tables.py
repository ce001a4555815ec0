"""The order service's tables, with the chassis' own in the same database."""

from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Identity, Index, Text, text
from sqlmodel import Field, SQLModel

from chassis.postgres.state_rows import StateRow
from chassis.postgres.tables import METADATA as METADATA  # noqa: PLC0414 - what migrations are checked against


class OrderTable(StateRow, table=True):
    __tablename__ = "orders"
    __table_args__ = (
        Index("orders_customer", "customer_id", "order_id"),
        Index("orders_by_id", "order_id"),  # COLLATE "C", which Alembic does not compare
        Index("orders_customer_by_id", "customer_id", "order_id"),  # the same
        Index(
            "orders_unsettled",
            "order_id",
            postgresql_where=text("status IN ('Pending', 'Cancelling')"),
        ),
    )

    order_id: str = Field(sa_type=Text, primary_key=True)
    customer_id: str = Field(sa_type=Text, nullable=False)


class ProductTable(SQLModel, table=True):
    __tablename__ = "products"

    sku: str = Field(sa_type=Text, primary_key=True)
    name: str = Field(sa_type=Text, nullable=False)
    price_minor: int = Field(sa_type=BigInteger, nullable=False)
    currency: str = Field(sa_type=Text, nullable=False)
    revision: int = Field(sa_type=BigInteger, nullable=False)


class TimelineTable(SQLModel, table=True):
    """What the order service heard and said of an order, and when."""

    __tablename__ = "timeline"
    __table_args__ = (Index("timeline_order", "order_id", "id"),)

    id: int = Field(sa_column=Column(BigInteger, Identity(), primary_key=True))
    order_id: str = Field(sa_column=Column(Text, nullable=False))
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    heard: str = Field(sa_column=Column(Text, nullable=False))
    said: str = Field(sa_column=Column(Text, nullable=False))


class CustomerTable(SQLModel, table=True):
    """Whom a pseudonym stands for; an erasure deletes the row."""

    __tablename__ = "customers"
    __table_args__ = (Index("customers_by_id", "customer_id"),)

    pseudonym: str = Field(sa_type=Text, primary_key=True)
    customer_id: str = Field(sa_type=Text, nullable=False)


class ErasureTable(SQLModel, table=True):
    """What was erased, and by whom: no personal data. Written by `saga erase`, with its signature."""

    __tablename__ = "erasures"

    id: str = Field(sa_type=Text, primary_key=True)
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    by: str = Field(sa_type=Text, nullable=False)
    pseudonym: str = Field(sa_type=Text, nullable=False)
    orders: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    signature: str = Field(sa_type=Text, nullable=False)
