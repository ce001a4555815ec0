"""The HTTP side that all services share: problem+json (RFC 9457), body limit, health, metrics."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import clock, ids, tracing
from chassis.commands import CardNumberError, Commands, InFlightError, OverloadedError
from chassis.decision import Refusal, RefusalKind
from chassis.errors import TransientError
from chassis.health import Condition
from chassis.http.access import PUBLIC, GuardedRoute, granted, open_to
from chassis.http.gate import Gate, rate_headers
from chassis.http.measured import MeasuredRequests
from chassis.http.openapi import HEALTH, Api, operation_id, refusals
from chassis.http.problems import Problem, problem
from chassis.http.requests import Head, allowed, only_known
from chassis.http.untraced import is_untraced
from chassis.message import Claim, Decided, Duplicate, IdempotencyConflict, Parked
from chassis.message import Message as Command

BODY_MAX_BYTES: Final = 64 * 1024
JSON: Final = re.compile(r"application/([a-z0-9!#$&^_.+-]+\+)?json")
TELEMETRY: Final[TelemetryConfig] = {  # one span a request
    "operation_spans": False,
    "metrics": False,
    "logs": False,
    "exclude": is_untraced,
}
REPLAYED: Final = "chassis.replayed"  # in a request's scope
API_VERSION: Final = "1.2.0"
HEALTH_TAG: Final = "For orchestrators and monitoring: whether it lives, is ready, and its metrics."
REFUSED_WITH: Final[Mapping[RefusalKind, int]] = {"conflict": 409, "invalid": 422, "not_found": 404}
CODES: Final = {404: "not_found", 405: "method_not_allowed"}
Conditions = Callable[[], Awaitable[tuple[Condition, ...]]]


class Reason(BaseModel):
    """A condition that makes a service degraded, or not ready."""

    reason: str
    detail: str
    since: datetime


class Liveness(BaseModel):
    """The process answers."""

    status: Literal["live"]


class Readiness(BaseModel):
    """The service can do its durable job; `reasons` are what else fails."""

    status: Literal["ready", "degraded"]
    reasons: list[Reason]


def make_app(
    title: str,
    conditions: Conditions,
    gate: Gate,
    description: str = "",
    tags: Mapping[str, str] | None = None,
) -> FastAPI:
    """`conditions` are what fails now; the service is ready unless one of them blocks it.

    Whoever uses a route goes through the `gate`.

    `tags` says of each group of routes what it is for.
    """
    app = Api(
        title=title,
        version=API_VERSION,
        description=description,
        openapi_tags=[
            {"name": name, "description": text}
            for name, text in {**(tags or {}), HEALTH: HEALTH_TAG}.items()
        ],
        servers=[{"url": "/", "description": "The instance that serves this document."}],
        contact={"name": "The maintainers"},
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        generate_unique_id_function=operation_id,
        dependencies=[Depends(only_known)],
        redirect_slashes=False,  # it would redirect by Host
        telemetry=TELEMETRY,
    )
    app.router.route_class = GuardedRoute
    app.state.gate = gate
    app.add_middleware(BodyLimit)
    app.add_middleware(AnswerHeaders)
    app.add_middleware(Head)
    app.add_middleware(MeasuredRequests, service=title)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(TransientError, _on_store_away)
    app.add_exception_handler(OverloadedError, _on_overload)
    app.add_exception_handler(InFlightError, _on_in_flight)
    app.add_exception_handler(CardNumberError, _on_card_number)
    app.add_exception_handler(Exception, _on_bug)
    _add_health(app, conditions)
    return app


def _add_health(app: FastAPI, conditions: Conditions) -> None:
    @app.get("/health/live", tags=[HEALTH], summary="Whether the process answers")
    @open_to(PUBLIC)
    async def live() -> Liveness:
        """For a liveness probe: it looks at nothing else."""
        return Liveness(status="live")

    @app.get(
        "/health/ready",
        tags=[HEALTH],
        summary="Whether the service can do its durable job",
        response_model=Readiness,
        responses=refusals(_503="Not ready (`not_ready`): `reasons` says what is in the way."),
    )
    @open_to(PUBLIC)
    async def ready() -> Response:
        """For a readiness probe. A service that is `degraded` is ready: `reasons` says what fails."""
        found = await conditions()
        reasons = [Reason(reason=c.reason, detail=c.detail, since=c.since) for c in found]
        if blocking := [c.detail for c in found if c.blocking]:
            causes = [reason.model_dump(mode="json") for reason in reasons]
            return problem(503, "not_ready", "; ".join(blocking), reasons=causes)
        body = Readiness(status="degraded" if found else "ready", reasons=reasons)
        return Response(body.model_dump_json(), media_type="application/json")

    @app.get(
        "/metrics",
        tags=[HEALTH],
        summary="Metrics for Prometheus",
        response_class=PlainTextResponse,
    )
    @open_to(PUBLIC)
    async def metrics() -> Response:
        """In Prometheus' text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def execute(
    commands: Commands,
    request: Request,
    key: str,
    body: Any,
    *,
    idempotency_key: str | None = None,
    **more: Any,
) -> Decided | Duplicate:
    """Decide on the command that a request asks for; a refusal becomes a Problem.

    An idempotency key is its caller's own.
    """
    claim = None
    if idempotency_key is not None:
        fingerprint = hashlib.sha256(await request.body()).digest()
        name = f"{request.method} {request.scope['path']}"
        if subject := granted(request).subject:
            name = f"{name} by {subject}"
        claim = Claim(name, idempotency_key, fingerprint)
    outcome = await commands.execute(
        Command(
            id=UUID(ids.new_id()),
            key=key,
            body=body,
            at=clock.now(),
            traceparent=tracing.of_request(request, key),
            claim=claim,
            **more,
        )
    )
    match outcome:
        case Refusal():
            raise Problem(REFUSED_WITH[outcome.kind], outcome.code, outcome.detail)
        case IdempotencyConflict():
            why = "this Idempotency-Key was used with another request"
            raise Problem(422, "idempotency_key_reused", why)
        case Parked():
            raise Problem(500, "internal_error", "the request could not be decided")
        case Decided():
            return outcome
        case Duplicate():
            request.scope[REPLAYED] = claim is not None
            return outcome


class BodyLimit:
    """Lets in JSON that is not encoded, and counts what is streamed in: a Content-Length may lie.

    Only a body that the application reads is refused, so that 404 and 405 go before 413 and 415.
    """

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
            body = message.get("body", b"")
            if body and not seen:
                check_media(Headers(scope=scope))
            seen += len(body)
            if seen > BODY_MAX_BYTES:
                raise Problem(413, "body_too_large", f"at most {BODY_MAX_BYTES} bytes")
            return message

        await self.app(scope, counted, send)


def check_media(headers: Headers) -> None:
    """Raises Problem (415, RFC 9110 section 15.5.16) for a body that is not plain JSON."""
    if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise Problem(415, "unsupported_encoding", "send the body without a Content-Encoding")
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not JSON.fullmatch(media_type):
        raise Problem(415, "unsupported_media_type", "send the body as application/json")


class AnswerHeaders:
    """Says on every route alike that an answer is one that was given before, and what of a rate is left."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = rate_headers(scope)
                if scope.get(REPLAYED):
                    headers = {**headers, "Idempotency-Replayed": "true"}
                if headers:
                    MutableHeaders(scope=message).update(headers)
            await send(message)

        await self.app(scope, receive, marked)


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem(error.status, error.code, error.detail, error.headers, **error.more)


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
    if any(e["loc"][0] == "header" for e in error.errors()):
        return problem(400, "invalid_header", detail, errors=errors)
    return problem(422, "invalid_request", detail, errors=errors)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    cause = error.__cause__ or error.__context__
    if isinstance(cause, Problem):
        return await _on_problem(request, cause)
    status = error.status_code
    headers = dict(error.headers or {})
    if status == 405:  # noqa: PLR2004 - its framework names the methods of one route alone
        headers["Allow"] = allowed(request)
    return problem(status, CODES.get(status, "http_error"), str(error.detail), headers)


async def _on_store_away(_: Request, error: Exception) -> Response:
    del error
    return problem(503, "unavailable", "the store is away: try again with the same Idempotency-Key")


async def _on_overload(_: Request, error: Exception) -> Response:
    return problem(429, "overloaded", str(error))


async def _on_in_flight(_: Request, error: Exception) -> Response:
    return problem(409, "in_flight", str(error))


async def _on_card_number(_: Request, error: Exception) -> Response:
    assert isinstance(error, CardNumberError)
    errors = [{"field": error.field, "message": str(error)}]
    return problem(422, "card_number", f"{error.field}: {error}", errors=errors)


async def _on_bug(_: Request, error: Exception) -> Response:
    del error
    return problem(500, "internal_error", "an unexpected error; it is in the log")
