"""A way past FastAPI for requests that need nothing of it, as it takes longer than the rest of them.

FastAPI documents the route all the same, and words the errors of whatever does not go this way.
"""

from inspect import get_annotations
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import tracing
from chassis.http import BODY_MAX_BYTES, ReplayHeader


def shorten(app: FastAPI, path: str) -> None:
    """Make the way short to an endpoint that takes a `request`, a `body`, and headers by name."""
    route = next(r for r in app.routes if isinstance(r, APIRoute) and r.path == path)
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Shortcut(app, route, build())  # type: ignore[method-assign]


class Shortcut:
    """Takes JSON that came whole and is valid, with valid headers; all else goes on to FastAPI."""

    def __init__(self, app: FastAPI, route: APIRoute, onward: ASGIApp) -> None:
        named = get_annotations(route.endpoint)
        headers = named.keys() - {"request", "body", "return"}
        self.app, self.onward, self.endpoint = app, onward, route.endpoint
        self.path, self.methods = route.path, route.methods or set()
        self.body = TypeAdapter[Any](named["body"])
        self.headers = {name: TypeAdapter[Any](named[name]) for name in headers}
        self.lines = {name.replace("_", "-"): name for name in headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_here(scope):
            await self.onward(scope, receive, send)
            return
        first = await receive()
        request = Request(scope, again(first, receive))
        values = None if first.get("more_body") else self._values(request.headers, first)
        if values is None:
            await self.onward(scope, request.receive, send)
        else:
            await self._answer(request, values, send)

    def _is_here(self, scope: Scope) -> bool:
        """A request that FastAPI traces is none: its spans tell of the stages of the long way."""
        return (
            scope["type"] == "http"
            and scope["path"] == self.path
            and scope["method"] in self.methods
            and not scope["query_string"]
            and not tracing.is_recording()
        )

    async def _answer(self, request: Request, values: dict[str, Any], send: Send) -> None:
        """Errors are worded by FastAPI's handlers; of one that nobody expected the server has to know."""
        unexpected = None
        try:
            response = await self.endpoint(request=request, **values)
        except Exception as error:  # noqa: BLE001 - as the middleware does it
            handlers = self.app.exception_handlers
            kind = next(kind for kind in type(error).__mro__ if kind in handlers)
            handler: Any = handlers[kind]
            response = await handler(request, error)
            unexpected = error if kind is Exception else None
        await ReplayHeader(response)(request.scope, request.receive, send)
        if unexpected:
            raise unexpected

    def _values(self, headers: Headers, first: Message) -> dict[str, Any] | None:
        body = first.get("body", b"")
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if (
            media_type != "application/json"
            or len(body) > BODY_MAX_BYTES
            or "content-encoding" in headers
        ):
            return None
        if any(len(headers.getlist(line)) > 1 for line in self.lines):
            return None
        try:
            values = {
                name: self.headers[name].validate_python(value)
                for line, name in self.lines.items()
                if (value := headers.get(line)) is not None
            }
            return {"body": self.body.validate_json(body), **values}
        except ValidationError:
            return None


def again(first: Message, receive: Receive) -> Receive:
    """What was received already comes once more, before the rest."""
    heard = [first]

    async def received() -> Message:
        return heard.pop() if heard else await receive()

    return received
