"""Operator routes about rows of the outbox that Kafka never takes: list, try again, remove."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from chassis.events import type_of
from chassis.http.access import CHANGE, LOOK, granted, open_to
from chassis.http.openapi import refusals
from chassis.http.problems import Problem
from chassis.http.running import RunningService
from chassis.http.texts import Note, text
from chassis.message import size_of
from chassis.store import RefusedRow

RowId = Annotated[str, text(41, pattern=r"^\d{1,20}(-\d{1,20})?$")]


class Settle(BaseModel):
    """Which row, and why; the audit trail keeps it, with who it was."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"id": "4711", "note": "the limit is raised"}]},
    )
    id: RowId
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
    @open_to(LOOK)
    async def list_refused(
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> list[Refused]:
        """Rows of the outbox that Kafka refused for good, the oldest first."""
        return [_shown(row) for row in await operations.refused(limit)]

    @router.post("/outbox/redrive", summary="Try a refused row again", responses=none)
    @open_to(CHANGE)
    async def redrive_refused(request: Request, body: Settle) -> Refused:
        """Publish a refused row after all, then the later rows of its key."""
        by = granted(request).subject
        return _settled(await operations.release(body.id, by, body.note), body.id, node)

    @router.post("/outbox/discard", summary="Remove a refused row", responses=none)
    @open_to(CHANGE)
    async def discard_refused(request: Request, body: Settle) -> Refused:
        """Remove a refused row, which is never published; the later rows of its key are."""
        by = granted(request).subject
        return _settled(await operations.drop(body.id, by, body.note), body.id, node)


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
