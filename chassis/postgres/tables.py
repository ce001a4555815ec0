"""The chassis' own tables, in the database of each service."""

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
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import Field, SQLModel


def instant(*, nullable: bool = False, **options: Any) -> Any:
    return Field(sa_column=Column(DateTime(timezone=True), nullable=nullable, **options))


class InboxEntry(SQLModel, table=True):
    """Messages that were decided, as `Message.entry` calls them: a second delivery changes nothing."""

    __tablename__ = "inbox"
    __table_args__ = (Index("inbox_seen_at", "seen_at"),)

    message_id: UUID = Field(sa_column=Column(PG_UUID(as_uuid=True), primary_key=True))
    seen_at: datetime = instant(server_default=func.now())


class StoredOutboxRow(SQLModel, table=True):
    """Events not yet acknowledged by Kafka; the relay deletes them when they are.

    `refused` says why Kafka never takes a row: it waits for a person, and later ones of its key for it.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("outbox_shard_id", "shard", "id"),
        Index("outbox_key", "key"),
        Index("outbox_refused", "key", postgresql_where=text("refused IS NOT NULL")),
    )

    id: int = Field(sa_column=Column(BigInteger, Identity(), primary_key=True))
    shard: int = Field(sa_column=Column(SmallInteger, nullable=False))
    topic: str = Field(sa_column=Column(Text, nullable=False))
    key: str = Field(sa_column=Column(Text, nullable=False))
    value: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True))
    headers: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = instant(server_default=func.now())
    refused: str | None = Field(sa_column=Column(Text, nullable=True))
    refused_at: datetime | None = instant(nullable=True)


class Effect(SQLModel, table=True):
    """Outstanding calls to the outside; `tries` and `last_error` say how it goes.

    `attempt` is null in a row that release 0.1 wrote: it is the last part of `id` then.
    """

    __tablename__ = "effects"
    __table_args__ = (
        Index("effects_key", "key"),
        Index("effects_kind_due_at", "kind", "due_at"),
    )

    id: str = Field(sa_column=Column(Text, primary_key=True))
    key: str = Field(sa_column=Column(Text, nullable=False))
    kind: str = Field(sa_column=Column(Text, nullable=False))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    traceparent: str = Field(sa_column=Column(Text, nullable=False))
    tries: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    last_error: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    due_at: datetime = Field(
        sa_column=Column(
            DateTime(timezone=True), nullable=False, server_default=func.now(), index=True
        )
    )
    owed_since: datetime = instant(server_default=func.now())
    attempt: int | None = Field(sa_column=Column(SmallInteger, nullable=True))


class ParkedMessage(SQLModel, table=True):
    """Dead letters and the later messages of their keys, byte for byte, in order of arrival."""

    __tablename__ = "parked"
    __table_args__ = (
        Index("parked_key_id", "key", "id"),
        Index("parked_origin", "topic", "partition", "record_offset", unique=True),
    )

    id: int = Field(sa_column=Column(BigInteger, Identity(), primary_key=True))
    key: str = Field(sa_column=Column(Text, nullable=False))
    topic: str = Field(sa_column=Column(Text, nullable=False))
    partition: int = Field(sa_column=Column(BigInteger, nullable=False))
    record_offset: int = Field(sa_column=Column(BigInteger, nullable=False))
    record_key: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True))
    value: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True))
    headers: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    parked_at: datetime = instant(server_default=func.now())
    attempts: int = Field(sa_column=Column(Integer, nullable=False, server_default="1"))
    last_reason: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    last_tried_at: datetime = instant(server_default=func.now())


class Action(SQLModel, table=True):
    """The audit trail of operators: who did what to which saga, and why."""

    __tablename__ = "operator_actions"
    __table_args__ = (Index("operator_actions_key", "key", "id"),)

    id: int = Field(sa_column=Column(BigInteger, Identity(), primary_key=True))
    at: datetime = instant(server_default=func.now())
    by: str = Field(sa_column=Column(Text, nullable=False))
    action: str = Field(sa_column=Column(Text, nullable=False))
    key: str = Field(sa_column=Column(Text, nullable=False))
    note: str = Field(sa_column=Column(Text, nullable=False))
    detail: str = Field(sa_column=Column(Text, nullable=False))


class ClockMark(SQLModel, table=True):
    """When the database's clock was last looked at, and when it was last seen to have jumped."""

    __tablename__ = "clock_marks"

    name: str = Field(sa_column=Column(Text, primary_key=True))
    seen_at: datetime = instant()
    doubted_at: datetime | None = instant(nullable=True)


class IdempotencyKey(SQLModel, table=True):
    """Requests that were answered, with their answers."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_created_at", "created_at"),)

    scope: str = Field(sa_column=Column(Text, primary_key=True))
    key: str = Field(sa_column=Column(Text, primary_key=True))
    fingerprint: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    response: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = instant(server_default=func.now())


PUBLISHED = Table(
    "published",
    SQLModel.metadata,
    Column("id", BigInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", LargeBinary),
    Column("headers", LargeBinary, nullable=False),
    Column("published_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    postgresql_partition_by="RANGE (published_at)",
)
"""Rows of the outbox that Kafka has, kept for a time without an index: they are hardly ever read."""

METADATA = SQLModel.metadata
