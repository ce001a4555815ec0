"""Who looks: an access token that the browser keeps in a cookie, and what it is renewed with.

The cookies can't be read by scripts, and go with no request of another site but a link. From the first the
request's `Authorization` is made, so that one gate (chassis/http/gate.py) decides on pages as on every API.
What changes something has to come from a page of the console: with a header that no form of another site has.
A token of the issuer that has nearly ended is renewed on the way; where the issuer refuses, the session ends.
"""

from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final

import structlog
from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import clock
from chassis.auth import AUDIT, OPERATE, VIEW
from chassis.http import Access, granted, problem
from console.web.oidc import IssuedTokens, IssuerAwayError, SignIn

log = structlog.get_logger()
COOKIE: Final = "console_session"
RENEWAL: Final = "console_renewal"
COOKIE_MAX: Final = 3800
"""Browsers keep no more than 4096 bytes of a cookie, its name and attributes among them."""
LOOK: Final = Access(every={OPERATE, AUDIT, VIEW})
CHANGE: Final = Access(every={OPERATE}, needs_caller=True)
REVEAL: Final = Access(every={AUDIT}, needs_caller=True)
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
WITHOUT: Final = ("/login", "/logout", "/static/")
"""Paths that need no session, and renew none."""
SESSION_S: Final = 12 * 3600
"""The token itself may end earlier."""
EARLY_S: Final = 30.0
"""A token is renewed so long before it ends."""
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


@dataclass(frozen=True, slots=True)
class Session:
    """Makes a request's `Authorization` from its cookie, where it has none of its own."""

    app: ASGIApp
    sign_in: SignIn | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        kept = _kept(headers.get("cookie", ""))
        if not kept.access or "authorization" in headers:
            await self.app(scope, receive, send)
            return
        if scope["method"] not in SAFE and headers.get("hx-request") != "true":
            why = "what changes something is asked for by a page of the console"
            await problem(403, "cross_site", why)(scope, receive, send)
            return
        if self.sign_in is not None and _is_due(kept, scope["path"]):
            kept, send = await self._renewed(self.sign_in, kept, scope, send)
        if kept.access:
            given = (b"authorization", f"Bearer {kept.access}".encode("latin-1", "replace"))
            scope = {**scope, "headers": [*scope["headers"], given]}
        await self.app(scope, receive, send)

    async def _renewed(
        self, sign_in: SignIn, kept: IssuedTokens, scope: Scope, send: Send
    ) -> tuple[IssuedTokens, Send]:
        """The tokens to go on with, and how the browser gets them."""
        try:
            found = await sign_in.renewed(kept.refresh)
        except IssuerAwayError as error:
            log.warning("session_not_renewed", error=str(error))
            return kept, send
        answer = Response()
        if found is None and clock.now().timestamp() < kept.until:
            # perhaps another process has just renewed it, for another request of the page
            return kept, send
        if found is None:
            forget(answer)
            return IssuedTokens("", 0.0), _with_cookies(answer, send)
        remember(answer, found, is_secure=is_secure(scope, sign_in))
        return found, _with_cookies(answer, send)


def is_secure(scope: Scope, sign_in: SignIn | None) -> bool:
    """Whether browsers reach the console by TLS, perhaps that of a proxy."""
    is_public = sign_in is not None and sign_in.client.public_url.startswith("https:")
    return is_public or scope.get("scheme") == "https"


def remember(answer: Response, tokens: IssuedTokens, *, is_secure: bool) -> None:
    """The browser keeps the tokens, and sends them with requests to the console alone."""
    keep(answer, COOKIE, tokens.access, SESSION_S, is_secure=is_secure)
    if tokens.refresh:
        renewal = f"{tokens.until:.0f}.{tokens.refresh}"
        keep(answer, RENEWAL, renewal, SESSION_S, is_secure=is_secure)
    else:  # that of another sign-in renews nothing of this one
        forget(answer, RENEWAL)


def keep(answer: Response, name: str, value: str, age_s: int, *, is_secure: bool) -> None:
    answer.set_cookie(name, value, age_s, path="/", secure=is_secure, httponly=True, samesite="lax")


def forget(answer: Response, *names: str) -> None:
    for name in names or (COOKIE, RENEWAL):
        answer.delete_cookie(name, path="/", httponly=True, samesite="lax")


def cookie_in(cookies: str, name: str) -> str:
    """Of a header, "" without it."""
    try:
        found = SimpleCookie(cookies).get(name)
    except CookieError:
        return ""
    return found.value if found is not None and found.value.isascii() else ""


def _kept(cookies: str) -> IssuedTokens:
    until, _, refresh = cookie_in(cookies, RENEWAL).partition(".")
    known = until.isdecimal() and len(until) <= len(str(2**53))
    return IssuedTokens(
        cookie_in(cookies, COOKIE), float(until) if known else 0.0, refresh if known else ""
    )


def _is_due(kept: IssuedTokens, path: str) -> bool:
    is_ending = clock.now().timestamp() > kept.until - EARLY_S
    return bool(kept.refresh) and is_ending and not path.startswith(WITHOUT)


def _with_cookies(answer: Response, send: Send) -> Send:
    cookies = [pair for pair in answer.raw_headers if pair[0] == b"set-cookie"]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *cookies]}
        await send(message)

    return sending
