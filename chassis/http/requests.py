"""What is refused, or understood, of any request before its route sees it."""

from typing import Any, get_origin

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.http.problems import Problem

IS_HEAD = "chassis.head"  # in a request's scope
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Head:
    """Answers HEAD as GET, without the content (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def without_content(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self.app({**scope, "method": "GET", IS_HEAD: True}, receive, without_content)


async def only_known(request: Request) -> None:
    """Raises Problem (400) for a query parameter that the route hasn't, or one value given twice."""
    query, headers = _parameters(request.scope["route"])
    for name in request.query_params:
        if name not in query:
            known = ", ".join(sorted(query)) or "none"
            detail = f"there is no parameter {name[:64]!r}: it takes {known}"
            raise Problem(400, "unknown_parameter", detail)
        if not query[name] and len(request.query_params.getlist(name)) > 1:
            raise Problem(400, "repeated_parameter", f"{name} is given more than once")
    for name in headers:
        if len(request.headers.getlist(name)) > 1:
            raise Problem(400, "repeated_header", f"{name} is given more than once")


def _parameters(route: Any) -> tuple[dict[str, bool], list[str]]:
    """A route's query parameters, whether each takes many values, and the headers that it reads."""
    assert isinstance(route, APIRoute)
    query: dict[str, bool] = {}
    headers: list[str] = []
    found = [route.dependant]
    while found:
        dependant = found.pop()
        found += dependant.dependencies
        for field in dependant.query_params:
            query[field.alias] = get_origin(field.field_info.annotation) is list
        headers += [field.alias for field in dependant.header_params]
    return query, headers


def allowed(request: Request) -> str:
    """The methods that a path has: the value of `Allow` (RFC 9110, section 10.2.1)."""
    found = [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]
    return ", ".join(["GET", "HEAD", *found[1:]] if "GET" in found else found)
