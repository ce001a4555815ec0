"""The console's tables: the log's events, what they add up to, and how far the log was read.

All of it can be read anew from the log (`saga console rebuild`). Texts that are compared are sorted by their
bytes, so that an index serves a prefix and a cursor alike.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class ConsoleTable(SQLModel, registry=registry()):
    """Tables of their own, beside those of services that one process may know too."""


def _instant(*, nullable: bool = False) -> Any:
    return Field(sa_column=Column(DateTime(timezone=True), nullable=nullable))


def _text(**options: Any) -> Any:
    return Field(sa_column=Column(Text(collation="C"), nullable=False, **options))


class FoldedOrderTable(ConsoleTable, table=True):
    """An order, as `fold.FoldedOrder` adds it up, and where it stands.

    `edges` are ids, separated by spaces. `quiet_at` is the time of the newest event of an order that waits
    for nothing any more. `reached` has for each service the sequence, state and time of where it is.
    """

    __tablename__ = "orders"
    __table_args__ = (
        Index("orders_newest", "began_at", "id"),
        Index("orders_state", "state", "began_at", "id"),
        Index("orders_customer", "customer", "began_at", "id"),
        Index("orders_reason", "reason", "began_at", "id", postgresql_where=text("reason <> ''")),
        Index("orders_step", "step", "began_at", "id", postgresql_where=text("step <> ''")),
        Index("orders_in_flight", "began_at", "id", postgresql_where=text("settled_at IS NULL")),
        Index("orders_moving", "began_at", "id", postgresql_where=text("quiet_at IS NULL")),
        Index(
            "orders_lived",
            text("tstzrange(began_at, quiet_at, '[]'::text)"),
            postgresql_using="gist",
            postgresql_where=text("quiet_at IS NOT NULL"),
        ),
        Index("orders_quiet", "quiet_at", postgresql_where=text("quiet_at IS NOT NULL")),
        Index("orders_trace", "trace_id", postgresql_where=text("trace_id <> ''")),
    )

    id: str = _text(primary_key=True)
    state: str = _text()
    step: str = _text()
    edges: str = _text()
    began_at: datetime = _instant()
    newest_at: datetime = _instant()
    placed_at: datetime | None = _instant(nullable=True)
    settled_at: datetime | None = _instant(nullable=True)
    quiet_at: datetime | None = _instant(nullable=True)
    customer: str = _text()
    total_minor: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    currency: str = _text()
    trace_id: str = _text()
    reason: str = _text()
    refused_by: str = _text()
    reason_rank: int | None = Field(sa_column=Column(SmallInteger, nullable=True))
    reason_at: datetime | None = _instant(nullable=True)
    seen: int = Field(sa_column=Column(BigInteger, nullable=False))
    events: int = Field(sa_column=Column(Integer, nullable=False))
    reached: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


class WaitTable(ConsoleTable, table=True):
    """Orders by the edges on which they wait."""

    __tablename__ = "waits"
    __table_args__ = (Index("waits_since", "edge", "since"),)

    edge: str = _text(primary_key=True)
    order_id: str = _text(primary_key=True)
    since: datetime = _instant()


class EventTable(ConsoleTable, table=True):
    """Each event of an order once; `position` counts them in the order in which they were read."""

    __tablename__ = "events"
    __table_args__ = (
        Index("events_position", "position", unique=True),
        Index("events_id", "id", postgresql_using="hash"),
    )

    order_id: str = _text(primary_key=True)
    service: str = _text(primary_key=True)
    sequence: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    position: int = Field(sa_column=Column(BigInteger, Identity(), nullable=False))
    id: UUID = Field(sa_column=Column(PG_UUID(as_uuid=True), nullable=False))
    type: str = _text()
    time: datetime = _instant()
    causation_id: str = _text()
    causation_type: str = _text()
    topic: str = _text()
    partition: int = Field(sa_column=Column(Integer, nullable=False))
    offset: int = Field(sa_column=Column(BigInteger, nullable=False))
    trace_id: str = _text()
    payload: str = Field(sa_column=Column(Text, nullable=False))


class ReferenceTable(ConsoleTable, table=True):
    """Ids of payments and shipments, and the orders whose events hold them; `name` is the event's field."""

    __tablename__ = "order_references"
    __table_args__ = (Index("order_references_order", "order_id"),)

    reference: str = _text(primary_key=True)
    order_id: str = _text(primary_key=True)
    name: str = _text()


class DroppedOrderTable(ConsoleTable, table=True):
    """An order that was dropped: as much as is needed to say where it stands when another event comes."""

    __tablename__ = "dropped_orders"

    id: str = _text(primary_key=True)
    began_at: datetime = _instant()
    newest_at: datetime = _instant()
    placed_at: datetime | None = _instant(nullable=True)
    seen: int = Field(sa_column=Column(BigInteger, nullable=False))
    reached: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


class ReadTable(ConsoleTable, table=True):
    """The first offset of each partition that was not read yet."""

    __tablename__ = "read_offsets"

    topic: str = _text(primary_key=True)
    partition: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    next: int = Field(sa_column=Column(BigInteger, nullable=False))


class GenerationTable(ConsoleTable, table=True):
    """One row: how often all that was read was forgotten, so that whoever reads notices."""

    __tablename__ = "read_generation"

    generation: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))


class ActionTable(ConsoleTable, table=True):
    """What people did in the console. It is not in the log: a rebuild leaves it as it is."""

    __tablename__ = "operator_actions"

    id: int = Field(sa_column=Column(BigInteger, Identity(), primary_key=True))
    at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.now())
    )
    by: str = _text()
    action: str = _text()
    detail: str = _text()
    note: str = _text()


class GroupNoteTable(ConsoleTable, table=True):
    """What people wrote about groups of failures. It is not in the log: a rebuild leaves it as it is."""

    __tablename__ = "failure_notes"

    failure_group: str = _text(primary_key=True)
    text: str = _text()
    by: str = _text()
    at: datetime = _instant()


METADATA = ConsoleTable.metadata
