"""The HTTP side that all services share: problem+json (RFC 9457), body limit, health, metrics."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import FastAPI, Header, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import clock, ids, tracing
from chassis.commands import Commands, InFlightError, OverloadedError
from chassis.errors import TransientError
from chassis.health import Condition
from chassis.message import Claim, Done, KeyReused, Outcome, Parked, Repeated
from chassis.message import Message as Command
from shared_events.decision import Refusal

BODY_MAX_BYTES: Final = 64 * 1024
REPLAYED: Final = "chassis.replayed"  # in a request's scope
OrderId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255)]
Conditions = Callable[[], Awaitable[tuple[Condition, ...]]]


class Reason(BaseModel):
    """A condition that makes a service degraded, or not ready."""

    reason: str
    detail: str
    since: datetime


class Readiness(BaseModel):
    """The service can do its durable job; `reasons` are what else fails."""

    status: Literal["ready", "degraded"]
    reasons: list[Reason]


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An error answer: a stable `code`, and `detail` for people."""

    def __init__(self, status: int, code: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.more = status, code, detail, more


def problem(status: int, code: str, detail: str, **more: Any) -> Response:
    body = {"type": f"urn:problem:{code}", "title": code.replace("_", " "), "status": status}
    headers = {"Retry-After": "1"} if status in {429, 503} else None
    return Response(
        to_json({**body, "code": code, "detail": detail, **more}),
        status,
        media_type="application/problem+json",
        headers=headers,
    )


def make_app(title: str, conditions: Conditions) -> FastAPI:
    """`conditions` are what fails now; the service is ready unless one of them blocks it."""
    app = FastAPI(title=title, version="1")
    app.add_middleware(BodyLimit)
    app.add_middleware(ReplayHeader)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(TransientError, _on_store_away)
    app.add_exception_handler(OverloadedError, _on_overload)
    app.add_exception_handler(InFlightError, _on_in_flight)
    app.add_exception_handler(Exception, _on_bug)

    @app.get("/health/live", tags=["health"])
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", tags=["health"], response_model=Readiness)
    async def is_ready() -> Response:
        found = await conditions()
        reasons = [Reason(reason=c.reason, detail=c.detail, since=c.since) for c in found]
        if blocking := [c.detail for c in found if c.blocking]:
            told = [reason.model_dump(mode="json") for reason in reasons]
            return problem(503, "not_ready", "; ".join(blocking), reasons=told)
        body = Readiness(status="degraded" if found else "ready", reasons=reasons)
        return Response(body.model_dump_json(), media_type="application/json")

    @app.get("/metrics", tags=["health"])
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


async def execute(
    commands: Commands,
    request: Request,
    key: str,
    body: Any,
    *,
    idempotency_key: str | None = None,
    **more: Any,
) -> Outcome:
    """Decide on the command that a request asks for; a refusal becomes a Problem."""
    name = f"{request.method} {request.scope['path']}"
    claim = None
    if idempotency_key is not None:
        fingerprint = hashlib.sha256(await request.body()).digest()
        claim = Claim(name, idempotency_key, fingerprint)
    traceparent = tracing.started(request.headers.get("traceparent"))
    with tracing.span(name, traceparent, key) as context:
        outcome = await commands.execute(
            Command(
                id=UUID(ids.new_id()),
                key=key,
                body=body,
                at=clock.now(),
                traceparent=context,
                claim=claim,
                **more,
            )
        )
    match outcome:
        case Refusal():
            raise Problem(outcome.status, outcome.code, outcome.detail)
        case KeyReused():
            why = "this Idempotency-Key was used with another request"
            raise Problem(422, "idempotency_key_reused", why)
        case Parked():
            raise Problem(500, "internal_error", "the request could not be decided")
        case Done():
            return outcome
        case Repeated():
            request.scope[REPLAYED] = claim is not None
            return outcome


class BodyLimit:
    """Counts what is streamed in: a Content-Length may lie or be absent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > BODY_MAX_BYTES:
                raise Problem(413, "body_too_large", f"at most {BODY_MAX_BYTES} bytes")
            return message

        await self.app(scope, counted, send)


class ReplayHeader:
    """Says on every route alike that an answer is one that was given before."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start" and scope.get(REPLAYED):
                MutableHeaders(scope=message)["Idempotency-Replayed"] = "true"
            await send(message)

        await self.app(scope, receive, marked)


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem(error.status, error.code, error.detail, **error.more)


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"field": ".".join(str(part) for part in e["loc"][1:]), "message": e["msg"]}
        for e in error.errors()
    ]
    broken = any(e["type"] == "json_invalid" for e in error.errors())
    if broken:
        return problem(400, "malformed_json", "the body is not JSON", errors=errors)
    detail = "; ".join(f"{e['field']}: {e['message']}" for e in errors[:3])
    return problem(422, "invalid_request", detail, errors=errors)


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    cause = error.__cause__ or error.__context__
    if isinstance(cause, Problem):
        return problem(cause.status, cause.code, cause.detail)
    return problem(error.status_code, "http_error", str(error.detail))


async def _on_store_away(_: Request, error: Exception) -> Response:
    del error
    return problem(503, "unavailable", "the store is away: try again with the same Idempotency-Key")


async def _on_overload(_: Request, error: Exception) -> Response:
    return problem(429, "overloaded", str(error))


async def _on_in_flight(_: Request, error: Exception) -> Response:
    return problem(409, "in_flight", str(error))


async def _on_bug(_: Request, error: Exception) -> Response:
    del error
    return problem(500, "internal_error", "an unexpected error; it is in the log")
