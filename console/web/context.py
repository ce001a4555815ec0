"""What the routes of the console share."""

import asyncio
from dataclasses import dataclass, field

import structlog
from fastapi import Request

from chassis.http import Gate
from console.queries import Queries
from console.web.asking import ServiceDirectory
from console.web.live import Hub
from console.web.oidc import SignIn
from console.web.repairs import Repairs

log = structlog.get_logger()


@dataclass
class Console:
    """`gate` decides who may look; `stopping` ends what streams; without `sign_in` one shows a token.

    `trace_url` is the page of a trace in a viewer, with {trace_id} in it where it has one for each.
    """

    queries: Queries
    services: ServiceDirectory
    gate: Gate
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    sign_in: SignIn | None = None
    trace_url: str = ""
    repairs: Repairs = field(init=False)
    hub: Hub = field(init=False)

    def __post_init__(self) -> None:
        self.repairs = Repairs(self.services, self.record)
        self.hub = Hub(self.queries, self.stopping)

    async def record(self, by: str, action: str, detail: str, note: str) -> None:
        """Into the audit trail of the console; the services record each message themselves."""
        log.info("console_action", by=by, action=action, detail=detail)
        await self.queries.record(by, action, detail, note)

    async def close(self) -> None:
        self.stopping.set()
        await self.repairs.close()
        await self.services.close()


def is_part(request: Request) -> bool:
    """Asked by a script for a part of a page."""
    return request.headers.get("hx-request") == "true"
