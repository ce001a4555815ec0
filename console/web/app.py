"""The console's application: pages behind the same gate as every API of the system."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, cast
from urllib.parse import quote

import httpx
from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.sse import EventSourceResponse
from pydantic_core import from_json
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.errors import TransientError
from chassis.http import PUBLIC, Conditions, Gate, Problem, make_app, open_to, text
from console.queries import Queries
from console.web.asking import ServiceDirectory
from console.web.context import Console, is_part
from console.web.failure_pages import add_failures
from console.web.live import LATEST
from console.web.login_pages import add_login
from console.web.map_pages import add_map
from console.web.oidc import SignIn
from console.web.order_pages import add_order
from console.web.order_repairs import add_order_repairs
from console.web.orders_pages import add_orders
from console.web.process_pages import add_process
from console.web.rendering import POLICY, STATIC, page
from console.web.service_pages import add_services
from console.web.session import LOOK, Session, viewer_if_known

DESCRIPTION: Final = "Pages for operators: where orders stand, since when, and who must act."
MEDIA: Final = {".css": "text/css", ".js": "text/javascript"}
FILES: Final[Mapping[str, tuple[bytes, str]]] = {
    path.name: (path.read_bytes(), MEDIA[path.suffix])
    for path in STATIC.iterdir()
    if path.suffix in MEDIA
}
TITLES: Final = {403: "Not for you", 404: "Not found", 503: "Away", 500: "An error"}
ErrorAnswer = Callable[[Request, Exception], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """`stopping` ends what streams; `sign_in` is how one signs in at the issuer.

    `trace_url` is a trace's page; `transport` is what the services are asked by, httpx' own if None.
    """

    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    sign_in: SignIn | None = None
    trace_url: str = ""
    transport: httpx.AsyncBaseTransport | None = None


def make_console(
    queries: Queries,
    urls: Mapping[str, Sequence[str]],
    gate: Gate,
    conditions: Conditions,
    options: ConsoleOptions | None = None,
) -> FastAPI:
    """`urls` are of each service the base URLs of its instances.

    `app.state.console.close()` ends what the pages have begun.
    """
    app = make_app("console", conditions, gate, DESCRIPTION)
    given = options or ConsoleOptions()
    services = ServiceDirectory(urls, given.transport)
    console = Console(queries, services, gate, given.stopping, given.sign_in, given.trace_url)
    app.state.console = console
    app.add_middleware(PageHeaders)
    app.add_middleware(Session, sign_in=given.sign_in)
    for add in (
        add_login,
        add_map,
        add_orders,
        add_order,
        add_order_repairs,
        add_failures,
        add_process,
        add_services,
    ):
        add(app, console)
    _add_live(app, console)
    _add_files(app)
    for kind in (Problem, HTTPException, RequestValidationError, TransientError, Exception):
        app.add_exception_handler(kind, _as_page(cast("ErrorAnswer", app.exception_handlers[kind])))
    return app


class PageHeaders:
    """Nothing from elsewhere runs in a page, or shows it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = POLICY
            await send(message)

        await self.app(scope, receive, guarded)


def _add_live(app: FastAPI, console: Console) -> None:
    @app.get("/live", include_in_schema=False)
    @open_to(LOOK)
    async def stream_changes(
        last_event_id: Annotated[str, text(20, 0), Header()] = "",
        position: Annotated[int, Query(ge=-1, le=LATEST)] = -1,
    ) -> EventSourceResponse:
        """Server-sent events: which orders changed after the one that the browser has last, or its page."""
        stream = console.hub.stream(last_event_id or str(position))
        return EventSourceResponse(stream, headers={"X-Accel-Buffering": "no"})


def _add_files(app: FastAPI) -> None:
    @app.get("/static/{name}", include_in_schema=False)
    @open_to(PUBLIC)
    async def get_file(name: str) -> Response:
        if name not in FILES:
            raise Problem(404, "not_found", f"there is no file {name!r}")
        content, media_type = FILES[name]
        return Response(content, media_type=media_type)


def _as_page(plain: ErrorAnswer) -> ErrorAnswer:
    """An error as a page for whoever reads pages, and as a problem for all others."""

    async def handler(request: Request, error: Exception) -> Response:
        answer = await plain(request, error)
        if "text/html" not in request.headers.get("accept", "") and not is_part(request):
            return answer
        if answer.status_code == 401:  # noqa: PLR2004 - Unauthorized
            return _to_login(request)
        viewer = viewer_if_known(request)
        detail, code = _detail_of(error), from_json(bytes(answer.body))["code"]
        title = TITLES.get(answer.status_code, "That does not work")
        template = "_error.html" if is_part(request) else "error.html"
        values = {"title": title, "detail": detail, "code": code}
        return page(request, template, viewer, answer.status_code, **values)

    return handler


def _detail_of(error: Exception) -> str:
    if isinstance(error, TransientError):
        return "The console's own database does not answer. Orders do not depend on it."
    if isinstance(error, Problem):
        return error.detail
    if isinstance(error, HTTPException | RequestValidationError):
        return "There is no such page, or its address is not complete."
    return "The console made a mistake, which is in its log. Orders do not depend on it."


def _to_login(request: Request) -> Response:
    if is_part(request):
        return Response(status_code=204, headers={"HX-Redirect": "/login"})
    after = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?after={quote(after)}", 303)
