"""Operator routes about rows of the outbox that Kafka never takes: list, try again, remove."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from chassis.message import size_of
from chassis.problems import Problem
from chassis.store import Operations, RefusedRow
from shared_events.codec import type_of

RowId = Annotated[str, Field(pattern=r"^\d{1,20}(-\d{1,20})?$")]
PLAIN = r"^[^\x00]*$"


class Settle(BaseModel):
    """Which row, who, and why; the audit trail keeps it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: RowId
    by: Annotated[str, Field(min_length=1, max_length=100, pattern=PLAIN)]
    note: Annotated[str, Field(min_length=1, max_length=1000, pattern=PLAIN)]


class Refused(BaseModel):
    """A row of the outbox that Kafka never takes."""

    id: str
    key: str
    topic: str
    type: str
    bytes: int
    error: str
    refused_at: datetime
    behind: int = Field(description="Later rows of the same key, which wait for it.")


def add_outbox(router: APIRouter, operations: Operations, wake: Callable[[], None]) -> None:
    """`wake` tells the relay of this process that there is something to publish."""

    @router.get("/outbox")
    async def refused(
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> list[Refused]:
        """Rows of the outbox that Kafka refused for good, the oldest first."""
        return [_shown(row) for row in await operations.refused(limit)]

    @router.post("/outbox/redrive")
    async def redrive(body: Settle) -> Refused:
        """Publish a refused row after all, then what is behind it of its key."""
        return _settled(await operations.release(body.id, body.by, body.note), body.id, wake)

    @router.post("/outbox/discard")
    async def discard(body: Settle) -> Refused:
        """Remove a refused row, which is never published; what is behind it goes on."""
        return _settled(await operations.drop(body.id, body.by, body.note), body.id, wake)


def _settled(found: RefusedRow | None, id_: str, wake: Callable[[], None]) -> Refused:
    if found is None:
        raise Problem(404, "not_refused", f"no refused row of the outbox has the id {id_}")
    wake()
    return _shown(found)


def _shown(refused: RefusedRow) -> Refused:
    row = refused.row
    return Refused(
        id=refused.id,
        key=row.key,
        topic=row.topic,
        type=type_of(tuple(row.headers)),
        bytes=size_of(row),
        error=refused.why,
        refused_at=refused.at,
        behind=refused.later,
    )
