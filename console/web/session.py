"""Who looks: an access token that the login page takes, kept by the browser in a cookie.

The cookie can't be read by scripts and goes with no request that another site makes. From it the request's
`Authorization` is made, so that one gate (chassis/http/gate.py) decides on pages as on every API. What
changes something has to come from a page of the console: with a header that no form of another site has.
"""

from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final

from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.auth import AUDIT, OPERATE, VIEW
from chassis.http import Access, granted, problem

COOKIE: Final = "console_session"
LOOK: Final = Access(every={OPERATE, AUDIT, VIEW})
CHANGE: Final = Access(every={OPERATE}, needs_caller=True)
REVEAL: Final = Access(every={AUDIT}, needs_caller=True)
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SESSION_S: Final = 12 * 3600
"""The token itself may end earlier."""
ROLES: Final = ((OPERATE, "operator"), (AUDIT, "auditor"), (VIEW, "viewer"))


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at a page: `roles` in words, `token` to ask the services with."""

    name: str
    roles: tuple[str, ...]
    token: str

    @property
    def is_operator(self) -> bool:
        return "operator" in self.roles

    @property
    def is_auditor(self) -> bool:
        return "auditor" in self.roles


def viewer_of(request: Request) -> Viewer:
    """Whom the gate has let in."""
    found = granted(request)
    roles = tuple(role for scope, role in ROLES if found.has(scope))
    token = request.headers.get("authorization", "").partition(" ")[2]
    return Viewer(found.subject, roles, token)


def viewer_if_known(request: Request) -> Viewer | None:
    """The same, None where the gate was not reached, or let nobody in."""
    try:
        return viewer_of(request)
    except KeyError:
        return None


class Session:
    """Makes a request's `Authorization` from its cookie, where it has none of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            token = _token_in(headers.get("cookie", ""))
            if token and "authorization" not in headers:
                if scope["method"] not in SAFE and headers.get("hx-request") != "true":
                    why = "what changes something is asked for by a page of the console"
                    await problem(403, "cross_site", why)(scope, receive, send)
                    return
                given = (b"authorization", f"Bearer {token}".encode("latin-1", "replace"))
                scope = {**scope, "headers": [*scope["headers"], given]}
        await self.app(scope, receive, send)


def _token_in(cookies: str) -> str:
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None and found.value.isascii() else ""


def remember(request: Request, response: Response, token: str) -> None:
    """The browser keeps the token, and sends it with requests of the console's own pages alone."""
    is_secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, token, SESSION_S, path="/", secure=is_secure, httponly=True, samesite="strict"
    )


def forget(response: Response) -> None:
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
