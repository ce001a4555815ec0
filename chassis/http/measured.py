"""How long requests take, by route and status: `http_server_request_duration_seconds`."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import clock
from chassis.metrics import HTTP_SECONDS

METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
NO_ROUTE: Final = "none"
"""Of a path that leads nowhere: its callers make up as many as they like."""


class MeasuredRequests:
    """The outermost of an application's own middleware; what escapes it is answered with 500."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = clock.monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            labels = (self.service, method, route_of(scope), str(status))
            HTTP_SECONDS.labels(*labels).observe(clock.monotonic() - began)


def route_of(scope: Scope) -> str:
    """The template of the route that took the request, such as `/orders/{order_id}`."""
    route = scope.get("route") or getattr(scope.get("endpoint"), "route", None)
    return getattr(route, "path", NO_ROUTE)
