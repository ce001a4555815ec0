"""The columns of a service's own state: one row a saga. Each service derives its table, and adds its key."""

from typing import Any

from sqlalchemy import Integer, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


class StateRow(SQLModel):
    """`status` names the state, `detail` holds its fields; `version` counts the published events."""

    version: int = Field(sa_type=Integer, nullable=False)
    status: str = Field(sa_type=Text, nullable=False)
    detail: dict[str, Any] = Field(sa_type=JSONB, nullable=False)
