"""Operator routes about rows of the outbox that Kafka never takes: list, try again, remove."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from chassis.events import type_of
from chassis.http.openapi import refusals
from chassis.http.problems import Problem
from chassis.http.running import RunningService
from chassis.http.texts import Note, text
from chassis.message import size_of
from chassis.store import RefusedRow

RowId = Annotated[str, text(41, pattern=r"^\d{1,20}(-\d{1,20})?$")]


class Settle(BaseModel):
    """Which row, who, and why; the audit trail keeps it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [{"id": "4711", "by": "ada", "note": "the limit is raised"}]
        },
    )
    id: RowId
    by: Annotated[str, text(100)]
    note: Note


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


def add_outbox(router: APIRouter, node: RunningService) -> None:
    operations = node.operations
    none = refusals(_404="No such row is refused (`not_refused`).")

    @router.get("/outbox", summary="Rows that Kafka never takes")
    async def list_refused(
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> list[Refused]:
        """Rows of the outbox that Kafka refused for good, the oldest first."""
        return [_shown(row) for row in await operations.refused(limit)]

    @router.post("/outbox/redrive", summary="Try a refused row again", responses=none)
    async def redrive_refused(body: Settle) -> Refused:
        """Publish a refused row after all, then the later rows of its key."""
        return _settled(await operations.release(body.id, body.by, body.note), body.id, node)

    @router.post("/outbox/discard", summary="Remove a refused row", responses=none)
    async def discard_refused(body: Settle) -> Refused:
        """Remove a refused row, which is never published; the later rows of its key are."""
        return _settled(await operations.drop(body.id, body.by, body.note), body.id, node)


def _settled(found: RefusedRow | None, id_: str, node: RunningService) -> Refused:
    if found is None:
        raise Problem(404, "not_refused", f"no refused row of the outbox has the id {id_}")
    node.relay.wake.set()
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
