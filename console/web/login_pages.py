"""Signing in, at the issuer or with an access token, and out again."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import Depends, FastAPI, Query, Request, Response
from starlette.responses import RedirectResponse
from starlette.types import Scope

from chassis.http import PUBLIC, Body, Problem, open_to, text
from console.web.context import Console
from console.web.oidc import (
    IssuedTokens,
    IssuerAwayError,
    NotSignedInError,
    SignIn,
    SignInAttempt,
)
from console.web.rendering import page
from console.web.session import (
    COOKIE_MAX,
    LOOK,
    cookie_in,
    forget,
    is_secure,
    keep,
    remember,
)

START: Final = "/"
ATTEMPT: Final = "console_sign_in"
AWAY: Final = "issuer_away"
ATTEMPT_S: Final = 600
"""So long one may take to sign in at the issuer."""
AfterQuery = Annotated[str, text(1000, 0)]


class Credentials(Body):
    """`after` is the page to go on to."""

    token: Annotated[str, text(8192)]
    after: AfterQuery = START


@dataclass(frozen=True, slots=True)
class IssuerAnswer:
    """What the browser brings from the issuer (RFC 6749, section 4.1.2; RFC 9207), needed or not."""

    code: Annotated[str, text(4096, 0)] = ""
    state: Annotated[str, text(200, 0)] = ""
    error: Annotated[str, text(200, 0)] = ""
    error_description: Annotated[str, text(2000, 0)] = ""
    error_uri: Annotated[str, text(2000, 0)] = ""
    iss: Annotated[str, text(2000, 0)] = ""
    session_state: Annotated[str, text(2000, 0)] = ""
    scope: Annotated[str, text(2000, 0)] = ""
    authuser: Annotated[str, text(200, 0)] = ""
    prompt: Annotated[str, text(200, 0)] = ""
    hd: Annotated[str, text(200, 0)] = ""


def add_login(app: FastAPI, console: Console) -> None:
    @app.get("/login", include_in_schema=False)
    @open_to(PUBLIC)
    async def show_login(
        request: Request, after: Annotated[AfterQuery, Query()] = START
    ) -> Response:
        return _login_page(request, console, local(after))

    @app.post("/login", include_in_schema=False)
    @open_to(PUBLIC)
    async def log_in(request: Request, body: Credentials) -> Response:
        token = body.token.strip().removeprefix("Bearer ")
        try:
            await _admit(console, request, token)
        except Problem as problem:
            shown = {"after": local(body.after), "problem": problem.detail, "code": problem.code}
            return page(request, "_login.html", None, problem.status, **shown)
        answer = Response(status_code=204, headers={"HX-Redirect": local(body.after)})
        secure = is_secure(request.scope, console.sign_in)
        remember(answer, IssuedTokens(token, 0.0), is_secure=secure)
        return answer

    @app.post("/logout", include_in_schema=False)
    @open_to(PUBLIC)
    async def log_out() -> Response:
        """Also at the issuer, where it offers that."""
        farewell = await console.sign_in.farewell() if console.sign_in else ""
        answer = Response(status_code=204, headers={"HX-Redirect": farewell or "/login"})
        forget(answer)
        return answer

    if console.sign_in is not None:
        _add_issuer(app, console, console.sign_in)


def _add_issuer(app: FastAPI, console: Console, sign_in: SignIn) -> None:
    @app.get("/login/start", include_in_schema=False)
    @open_to(PUBLIC)
    async def go_to_issuer(
        request: Request, after: Annotated[AfterQuery, Query()] = START
    ) -> Response:
        attempt = SignInAttempt.begun(local(after))
        try:
            address = await sign_in.address(attempt)
        except IssuerAwayError as error:
            return _refused(request, console, AWAY, str(error), local(after))
        answer = RedirectResponse(address, 303)
        kept = urlencode(asdict(attempt))
        keep(answer, ATTEMPT, kept, ATTEMPT_S, is_secure=is_secure(request.scope, sign_in))
        return answer

    @app.get("/login/callback", include_in_schema=False)
    @open_to(PUBLIC)
    async def come_back(request: Request, brought: Annotated[IssuerAnswer, Depends()]) -> Response:
        attempt = _attempt_in(request.headers.get("cookie", ""))
        after = attempt.after if attempt else START
        try:
            tokens = await _finished(sign_in, attempt, brought)
            await _admit(console, request, tokens.access)
        except NotSignedInError as error:
            return _refused(request, console, "sign_in_refused", str(error), after)
        except IssuerAwayError as error:
            return _refused(request, console, AWAY, str(error), after)
        except Problem as problem:
            return _refused(request, console, problem.code, problem.detail, after)
        answer = RedirectResponse(after, 303)
        forget(answer, ATTEMPT)
        remember(answer, tokens, is_secure=is_secure(request.scope, sign_in))
        return answer


async def _finished(
    sign_in: SignIn, attempt: SignInAttempt | None, brought: IssuerAnswer
) -> IssuedTokens:
    """Raises NotSignedInError where the answer is not one to this browser's own question."""
    if attempt is None or brought.state != attempt.state:
        raise NotSignedInError("it was not begun in this browser, or is too long ago: begin again")
    if brought.iss and brought.iss != sign_in.client.issuer:
        raise NotSignedInError("the answer is of another issuer")
    if brought.error or not brought.code:
        raise NotSignedInError(f"the issuer says {brought.error or 'nothing'}")
    return await sign_in.finished(attempt, brought.code)


def _attempt_in(cookies: str) -> SignInAttempt | None:
    found = {name: x[0] for name, x in parse_qs(cookie_in(cookies, ATTEMPT)).items()}
    try:
        attempt = SignInAttempt(**found)
    except TypeError:  # another set of names, or none
        return None
    return SignInAttempt(attempt.state, attempt.nonce, attempt.verifier, local(attempt.after))


async def _admit(console: Console, request: Request, token: str) -> None:
    """Raises Problem for a token with which nobody may look."""
    if len(token) > COOKIE_MAX:
        raise Problem(422, "token_too_long", "The access token is longer than browsers keep.")
    await console.gate.admit(LOOK, _asking_with(request, token))


def _refused(request: Request, console: Console, code: str, why: str, after: str) -> Response:
    status = 503 if code == AWAY else 401
    answer = _login_page(request, console, after, status, problem=why, code=code)
    forget(answer, ATTEMPT)
    return answer


def _login_page(
    request: Request, console: Console, after: str, status: int = 200, **more: Any
) -> Response:
    issuer = urlsplit(console.sign_in.client.issuer).netloc if console.sign_in else ""
    begin = f"/login/start?{urlencode({'after': after})}"
    values = {"after": after, "problem": "", "code": "", "issuer": issuer, "begin": begin, **more}
    return page(request, "login.html", None, status, **values)


def local(after: str) -> str:
    """An address of the console, whatever was asked for."""
    is_path = after.startswith("/") and not after.startswith(("//", "/\\"))
    return after if is_path and after.isprintable() else START


def _asking_with(request: Request, token: str) -> Scope:
    header = (b"authorization", b"Bearer " + token.encode("latin-1", "replace"))
    return {"type": "http", "headers": [header], "client": request.scope.get("client")}
