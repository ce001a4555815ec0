"""Whatever is asked, the short way answers as FastAPI does; what is in order goes that way."""

import json
from typing import Annotated, Any, Final

import httpx
import pytest
from fastapi import FastAPI, Header, Request, Response
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.commands import OverloadedError
from chassis.fields import IdempotencyKey
from chassis.health import Condition
from chassis.http import BODY_MAX_BYTES, make_app
from chassis.problems import Problem
from chassis.shortcut import again, shorten

FIT = {"sku": "CLOCK", "quantity": 1}
JSON = {"Content-Type": "application/json"}
IN_ORDER: Final[tuple[tuple[Any, dict[str, str]], ...]] = (
    (FIT, {}),
    (FIT, {"Content-Type": "application/JSON; charset=utf-8"}),
    (FIT, {"Idempotency-Key": "k", "Prefer": "wait=1"}),
    (FIT, {"Idempotency-Key": '"a \\"quoted\\" key"'}),
    (b'{"sku": "A", "sku": "B", "quantity": 2}', {}),
    ({"sku": "problem", "quantity": 1}, {}),
    ({"sku": "overload", "quantity": 1}, {}),
    ({"sku": "bug", "quantity": 1}, {}),
)
OTHERS: Final[tuple[tuple[Any, dict[str, str]], ...]] = (
    (FIT, {"Content-Type": "text/plain"}),
    (FIT, {"Content-Type": "application/vnd.api+json"}),
    (FIT, {"Content-Type": ""}),
    (FIT, {"Content-Encoding": "gzip"}),
    (FIT, {"Idempotency-Key": ""}),
    (FIT, {"Idempotency-Key": " "}),
    (FIT, {"Idempotency-Key": '"half'}),
    (FIT, {"Idempotency-Key": '""'}),
    (FIT, {"Idempotency-Key": "k" * 256}),
    ({"sku": "CLOCK", "quantity": "1"}, {}),
    ({"sku": "CLOCK", "quantity": 1.0}, {}),
    ({"sku": "CLOCK"}, {}),
    (FIT | {"more": 1}, {}),
    (b'{"sku": "\\ud800", "quantity": 1}', {}),
    (b'{"sku": "CLOCK", "quantity": NaN}', {}),
    (b'{"sku": "CLOCK", "quantity": 1}'.decode().encode("utf-16"), {}),
    (b'{"sku": ', {}),
    (b"[" * 10_000, {}),
    (b"", {}),
    (b" " * (BODY_MAX_BYTES + 1), {}),
)


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    sku: str
    quantity: int = Field(strict=True)


def an_app(ways: list[str] | None = None) -> FastAPI:
    """With a short way it tells `ways` which one a request has come."""

    async def conditions() -> tuple[Condition, ...]:
        return ()

    app = make_app("order", conditions)

    @app.post("/checkout", status_code=201, tags=["orders"])
    async def checkout(
        request: Request,
        body: Wanted,
        idempotency_key: IdempotencyKey = None,
        prefer: Annotated[str | None, Header()] = None,
    ) -> Response:
        if ways is not None:
            ways.append("long" if "endpoint" in request.scope else "short")
        match body.sku:
            case "problem":
                raise Problem(404, "unknown_sku", "there is none", sku=body.sku)
            case "overload":
                raise OverloadedError("too many requests wait")
            case "bug":
                raise RuntimeError("a bug")
            case _:
                heard = (await request.body(), idempotency_key, prefer)
                return Response(to_json([body, *heard]), 201, media_type="application/json")

    if ways is not None:
        shorten(app, "/checkout")
    return app


def whole(app: ASGIApp) -> ASGIApp:
    """As a server gives it: the test client says of each body that there is more."""

    async def given(scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        body = b"".join([part async for part in Request(scope, again(first, receive)).stream()])
        one = {"type": "http.request", "body": body, "more_body": False}
        await app(scope, again(one, receive), send)

    return given


async def ask(app: ASGIApp, content: Any, **options: Any) -> tuple[int, Any, bytes]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://order") as http:
        options = {"url": "/checkout", "method": "POST", "headers": JSON} | options
        answer = await http.request(content=content, **options)
    return answer.status_code, answer.headers, answer.content


@pytest.mark.parametrize(
    ("body", "headers", "way"),
    [*((*asked, "short") for asked in IN_ORDER), *((*asked, "long") for asked in OTHERS)],
)
async def test_both_ways_answer_alike(body: Any, headers: dict[str, str], way: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body)
    ways: list[str] = []
    short = await ask(whole(an_app(ways)), content, headers=JSON | headers)
    assert short == await ask(whole(an_app()), content, headers=JSON | headers)
    assert ("short" in ways) == (way == "short")


@pytest.mark.parametrize(
    "options", [{"method": "GET"}, {"method": "OPTIONS"}, {"url": "/checkout/"}, {"url": "/x"}]
)
async def test_another_request_is_left_alone(options: dict[str, str]) -> None:
    assert await ask(an_app([]), b"", **options) == await ask(an_app(), b"", **options)


async def test_a_body_in_parts_goes_the_long_way_whole() -> None:
    async def parts() -> Any:
        yield b'{"sku": "CLOCK",'
        yield b' "quantity": 1}'

    ways: list[str] = []
    assert await ask(an_app(ways), parts()) == await ask(an_app(), parts())
    assert ways == ["long"]


async def test_a_request_that_is_traced_goes_the_long_way() -> None:
    ways: list[str] = []
    app, before = an_app(ways), trace._TRACER_PROVIDER
    trace._TRACER_PROVIDER = TracerProvider()
    assert (await ask(whole(app), json.dumps(FIT)))[0] == 201
    trace._TRACER_PROVIDER = before
    assert (await ask(whole(app), json.dumps(FIT)))[0] == 201
    assert ways == ["long", "short"]


def test_the_document_is_the_same() -> None:
    assert json.dumps(an_app([]).openapi()) == json.dumps(an_app().openapi())
