"""The columns of a service's own state: one row an order. Each service derives its table from it."""

from typing import Any

from sqlalchemy import Integer, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


class OrderRow(SQLModel):
    """`status` names the state, `detail` holds its fields; `version` counts the published events."""

    order_id: str = Field(sa_type=Text, primary_key=True)
    version: int = Field(sa_type=Integer, nullable=False)
    status: str = Field(sa_type=Text, nullable=False)
    detail: dict[str, Any] = Field(sa_type=JSONB, nullable=False)
