"""What runs: asked before and during a deploy, by people and by `saga deploy-check`."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from chassis import build
from chassis.http.access import PUBLIC, GuardedRoute, open_to
from chassis.http.openapi import HEALTH
from chassis.http.running import RunningService


class RunningVersion(BaseModel):
    """`commit` is what it was built of, null where that is not known."""

    service: str
    version: str = Field(description="Of the service's release (Semantic Versioning).")
    commit: str | None
    started_at: datetime
    writes: tuple[str, ...] = Field(description="Types that it publishes.")
    reads: tuple[str, ...] = Field(description="Types that it reads, in every version.")
    knows: tuple[str, ...] = Field(
        description="Types of its vocabulary: it passes over those that it does not read, and parks others."
    )


def version_routes(node: RunningService) -> APIRouter:
    router = APIRouter(tags=[HEALTH], route_class=GuardedRoute)

    @router.get("/version", summary="Which release runs, and the events that it writes and reads")
    @open_to(PUBLIC)
    async def version() -> RunningVersion:
        """What a deploy has to fit to; it looks at nothing else."""
        service = node.service
        return RunningVersion(
            service=service.name,
            version=service.version,
            commit=build.commit() or None,
            started_at=node.started_at,
            writes=service.written_types,
            reads=service.read_types,
            knows=tuple(sorted(service.catalog.by_type)),
        )

    return router
