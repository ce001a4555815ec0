"""The inventory service's tables, with the chassis' own in the same database."""

from sqlalchemy import BigInteger, Text
from sqlmodel import Field, SQLModel

from chassis.postgres.state_rows import StateRow
from chassis.postgres.tables import METADATA as METADATA  # noqa: PLC0414 - what migrations are checked against


class ReservationTable(StateRow, table=True):
    __tablename__ = "reservations"

    order_id: str = Field(sa_type=Text, primary_key=True)


class StockTable(SQLModel, table=True):
    """Pieces of one SKU: received = available + reserved + committed + shipped."""

    __tablename__ = "stock"

    sku: str = Field(sa_type=Text, primary_key=True)
    available: int = Field(sa_type=BigInteger, nullable=False)
    reserved: int = Field(sa_type=BigInteger, nullable=False)
    committed: int = Field(sa_type=BigInteger, nullable=False)
    receipts: int = Field(sa_type=BigInteger, nullable=False)
    shipped: int = Field(
        sa_type=BigInteger, nullable=False, sa_column_kwargs={"server_default": "0"}
    )
    returned: int = Field(
        sa_type=BigInteger, nullable=False, sa_column_kwargs={"server_default": "0"}
    )
