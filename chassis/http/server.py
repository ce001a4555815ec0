"""uvicorn as every service runs it: within its limits, and stopped without leaving a request unanswered."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import uvicorn
from starlette.types import ASGIApp

from chassis import clock
from chassis.http.connections import Connections
from chassis.http.protocol import LimitedProtocol
from chassis.process.settings import HttpLimits

ACCEPTED_LATER: Final = 4096
"""Connections that wait to be accepted: what Linux allows by default, for a rush on a busy process."""
SECURITY_HEADERS: Final = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
]
"""Of every response (OWASP REST Security Cheat Sheet); HSTS is said by who has the certificate."""
FINISH_S: Final = 8.0
"""What is being answered when the process stops has so long; then it is cut off with a problem."""


class HttpServer(uvicorn.Server):
    def __init__(
        self, app: ASGIApp, service: str, limits: HttpLimits, finish_s: float = FINISH_S
    ) -> None:
        self.table = Connections(service, limits)
        protocol: Callable[..., asyncio.Protocol] = partial(LimitedProtocol, table=self.table)
        config = uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", protocol),
            ws="none",
            log_config=None,  # ours: an error is one line of JSON, whatever it quotes
            access_log=False,
            proxy_headers=False,
            lifespan="off",
            backlog=ACCEPTED_LATER,
            headers=SECURITY_HEADERS,
            timeout_graceful_shutdown=cast("int", finish_s),
        )
        super().__init__(config)

    def capture_signals(self) -> contextlib.AbstractContextManager[Any]:  # type: ignore[override]
        """The process has its own."""
        return contextlib.nullcontext()

    async def serve_until(self, stopping: asyncio.Event, sockets: list[socket.socket]) -> None:
        """Serve until told to stop, then drain.

        While it drains, readiness says no, requests are answered with `Connection: close`, and what waits
        for something is expected to give up by itself.
        """
        serving = asyncio.create_task(self.serve(sockets))
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait([serving, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        self.table.draining = True
        for connection in self.server_state.connections:
            cast("LimitedProtocol", connection).drain()
        if not serving.done():
            await clock.wait(self.table.limits.http_drain_s)
        self.should_exit = True
        await serving
