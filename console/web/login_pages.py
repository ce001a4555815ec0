"""Signing in with an access token, and out again."""

from typing import Annotated, Final

from fastapi import FastAPI, Query, Request, Response
from starlette.types import Scope

from chassis.http import PUBLIC, Body, Problem, open_to, text
from console.web.context import Console
from console.web.rendering import page
from console.web.session import LOOK, forget, remember

START: Final = "/"
AfterQuery = Annotated[str, text(1000, 0)]


class Credentials(Body):
    """`after` is the page to go on to."""

    token: Annotated[str, text(8192)]
    after: AfterQuery = START


def add_login(app: FastAPI, console: Console) -> None:
    @app.get("/login", include_in_schema=False)
    @open_to(PUBLIC)
    async def show_login(
        request: Request, after: Annotated[AfterQuery, Query()] = START
    ) -> Response:
        return page(request, "login.html", None, after=local(after), problem="", code="")

    @app.post("/login", include_in_schema=False)
    @open_to(PUBLIC)
    async def log_in(request: Request, body: Credentials) -> Response:
        token = body.token.strip().removeprefix("Bearer ")
        try:
            await console.gate.admit(LOOK, _asking_with(request, token))
        except Problem as problem:
            shown = {"after": local(body.after), "problem": problem.detail, "code": problem.code}
            return page(request, "_login.html", None, problem.status, **shown)
        answer = Response(status_code=204, headers={"HX-Redirect": local(body.after)})
        remember(request, answer, token)
        return answer

    @app.post("/logout", include_in_schema=False)
    @open_to(PUBLIC)
    async def log_out() -> Response:
        answer = Response(status_code=204, headers={"HX-Redirect": "/login"})
        forget(answer)
        return answer


def local(after: str) -> str:
    """An address of the console, whatever was asked for."""
    is_path = after.startswith("/") and not after.startswith(("//", "/\\"))
    return after if is_path and after.isprintable() else START


def _asking_with(request: Request, token: str) -> Scope:
    header = (b"authorization", b"Bearer " + token.encode("latin-1", "replace"))
    return {"type": "http", "headers": [header], "client": request.scope.get("client")}
