"""A route that calls its endpoint without FastAPI's reading of parameters, which costs most of the CPU.

It stands in the application's routes, before FastAPI's own route of the same path, and takes a request
without a query whose body has arrived complete and is valid, with valid headers. FastAPI's route
answers any other request, and documents the operation. Who may use it is checked here as there; middleware,
error handlers and the server span of the request are the application's, the same for both.
"""

from inspect import get_annotations
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from chassis.http.access import GuardedRoute, enter
from chassis.http.requests import only_known


def add_fast_path(app: FastAPI, path: str) -> None:
    """Put the fast path before the POST route of a path, which was added before.

    Its endpoint takes `request`, `body` and single-valued headers, and returns a Response.
    """
    route = next(
        r
        for r in app.routes
        if isinstance(r, GuardedRoute) and r.path == path and r.methods == {"POST"}
    )
    fast = Route(path, FastPathApp(route), methods=["POST"], include_in_schema=False)
    app.router.routes.insert(0, fast)


class FastPathApp:
    """The ASGI application of the route; `route` is FastAPI's, for the requests that it leaves alone."""

    def __init__(self, route: GuardedRoute) -> None:
        dependant, types = route.dependant, get_annotations(route.endpoint)
        assert [dependency.call for dependency in dependant.dependencies] == [only_known]
        assert types.keys() == {"request", "body", "return"} | {
            header.name for header in dependant.header_params
        }
        assert types["return"] is Response
        self.route, self.endpoint = route, route.endpoint
        self.headers = dependant.header_params
        self.body = TypeAdapter[Any](types["body"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await enter(self.route, scope)
        if not scope["query_string"]:
            first = await receive()
            receive = replayed(first, receive)
            request = Request(scope, receive)
            if (arguments := self._arguments(request, first)) is not None:
                response = await self.endpoint(request=request, **arguments)
                await response(scope, receive, send)
                return
        _, of_route = self.route.matches(scope)
        scope.update(of_route)
        await self.route.handle(scope, receive, send)

    def _arguments(self, request: Request, first: Message) -> dict[str, Any] | None:
        """The endpoint's arguments; None if FastAPI has to look. The media type was checked by BodyLimit."""
        if first.get("more_body"):
            return None
        arguments: dict[str, Any] = {}
        for header in self.headers:
            values = request.headers.getlist(header.alias)
            if len(values) > 1:
                return None
            if values:
                arguments[header.name], errors = header.validate(values[0])
                if errors:
                    return None
        try:
            return {"body": self.body.validate_json(first.get("body", b"")), **arguments}
        except ValidationError:
            return None


def replayed(first: Message, receive: Receive) -> Receive:
    """`receive`, which gives the message that was received already once more, before the rest."""
    messages = [first]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message
