"""How long requests take, by route and status: `http_server_request_duration_seconds`.

Of a stream of events it is the time until it begins: how long it lasts is its order's affair.
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import clock
from chassis.metrics import HTTP_SECONDS

METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
STREAM: Final = b"text/event-stream; charset=utf-8"
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
        streaming_s: float | None = None

        async def noted(message: Message) -> None:
            nonlocal status, streaming_s
            if message["type"] == "http.response.start":
                status = message["status"]
                if (b"content-type", STREAM) in message["headers"]:
                    streaming_s = clock.monotonic() - began
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            labels = (self.service, method, route_of(scope), str(status))
            took = clock.monotonic() - began if streaming_s is None else streaming_s
            HTTP_SECONDS.labels(*labels).observe(took)


def route_of(scope: Scope) -> str:
    """The template of the route that took the request, such as `/orders/{order_id}`."""
    route = scope.get("route") or getattr(scope.get("endpoint"), "route", None)
    return getattr(route, "path", NO_ROUTE)
