"""The fast path answers every request as FastAPI does, and calls the endpoint itself where it can."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Final

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, Request, Response
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.commands import OverloadedError
from chassis.health import Condition
from chassis.http import PUBLIC, Access, Gate, granted, open_to
from chassis.http.app import BODY_MAX_BYTES, REPLAYED, make_app
from chassis.http.fast_path import FastPathApp, add_fast_path, replayed
from chassis.http.header_fields import IdempotencyKeyHeader
from chassis.http.problems import Problem
from chassis.http.rates import RateLimit
from chassis.process.settings import RequestRate
from order_svc.resources import Checkout
from saga_cli.demo import a_checkout
from tests.support.callers import known_tokens
from tests.support.records import TRACE
from tests.support.spans import recorded_spans

FIT = {"sku": "CLOCK", "quantity": 1}
JSON = {"Content-Type": "application/json"}
ALICE = {"Authorization": "Bearer alice"}
CALLERS = Gate(
    "order", known_tokens(alice=("orders",), crm=("service",), ada=("operate",), nobody=())
)
REFUSED: Final[tuple[tuple[list[tuple[str, str]], tuple[int, str]], ...]] = (
    ([], (401, "token_missing")),
    ([("Authorization", "")], (401, "token_missing")),
    ([("Authorization", "Bearer")], (401, "token_missing")),
    ([("Authorization", "Basic YWxpY2U6")], (401, "token_missing")),
    ([("Authorization", "Bearer mallory")], (401, "invalid_token")),
    ([("Authorization", "Bearer alice, Bearer crm")], (401, "invalid_token")),
    ([("Authorization", "Bearer alice")] * 2, (400, "repeated_header")),
    ([("Authorization", "Bearer nobody")], (403, "insufficient_scope")),
    ([("Authorization", "Bearer ada")], (403, "insufficient_scope")),
)
VALID: Final[tuple[tuple[Any, dict[str, str]], ...]] = (
    (FIT, {}),
    (FIT, {"Content-Type": "application/JSON; charset=utf-8"}),
    (FIT, {"Content-Type": "application/vnd.api+json"}),
    (FIT, {"Content-Encoding": "identity"}),
    (FIT, {"Idempotency-Key": "k", "Prefer": "wait=1"}),
    (FIT, {"Idempotency-Key": '"a \\"quoted\\" key"'}),
    (b'{"sku": "A", "sku": "B", "quantity": 2}', {}),
    ({"sku": "problem", "quantity": 1}, {}),
    ({"sku": "overload", "quantity": 1}, {}),
    ({"sku": "bug", "quantity": 1}, {}),
    ({"sku": "replay", "quantity": 1}, {}),
)
OTHERS: Final[tuple[tuple[Any, dict[str, str]], ...]] = (
    (FIT, {"Content-Type": "text/plain"}),
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
    (b'\xef\xbb\xbf{"sku": "CLOCK", "quantity": 1}', {}),
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


async def conditions() -> tuple[Condition, ...]:
    return ()


def an_app(paths: list[str] | None = None, gate: Gate = CALLERS) -> FastAPI:
    """With the fast path if it gets a list: to that it adds which path each request took."""
    app = make_app("order", conditions, gate)

    @app.post("/checkout", status_code=201, tags=["orders"])
    @open_to(Access(own={"orders"}, every={"service"}))
    async def checkout(
        request: Request,
        body: Wanted,
        idempotency_key: IdempotencyKeyHeader = None,
        prefer: Annotated[str | None, Header()] = None,
    ) -> Response:
        if paths is not None:
            is_fast = isinstance(request.scope["endpoint"], FastPathApp)
            paths.append("fast" if is_fast else "full")
        match body.sku:
            case "problem":
                raise Problem(404, "unknown_sku", "there is none", sku=body.sku)
            case "overload":
                raise OverloadedError("too many requests wait")
            case "bug":
                raise RuntimeError("a bug")
            case "replay":
                request.scope[REPLAYED] = True
            case _:
                pass
        who = granted(request)
        read = (await request.body(), idempotency_key, prefer, who.subject, who.restricted)
        return Response(to_json([body, *read]), 201, media_type="application/json")

    if paths is not None:
        add_fast_path(app, "/checkout")
    return app


@pytest.fixture(params=["tracing off", "tracing on"])
def spans(request: pytest.FixtureRequest) -> Iterator[InMemorySpanExporter | None]:
    if request.param == "tracing off":
        yield None
    else:
        with recorded_spans() as found:
            yield found


def check_spans(spans: InMemorySpanExporter | None, name: str, requests: int) -> None:
    """Each request has one server span, named by the route's template, below the caller's."""
    if spans is None:
        return
    found = spans.get_finished_spans()
    assert [(span.name, span.kind) for span in found] == [(name, SpanKind.SERVER)] * requests
    for span in found:
        assert span.parent is not None
        assert f"{span.parent.span_id:016x}" == TRACE.split("-")[2]


def in_one_message(app: ASGIApp) -> ASGIApp:
    """As a server passes a short body; the test client announces more after each."""

    async def joined(scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        request = Request(scope, replayed(first, receive))
        body = b"".join([part async for part in request.stream()])
        one = {"type": "http.request", "body": body, "more_body": False}
        await app(scope, replayed(one, receive), send)

    return joined


async def ask(app: ASGIApp, content: Any, **options: Any) -> tuple[int, Any, bytes]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://order") as http:
        options = {"url": "/checkout", "method": "POST", "headers": JSON | ALICE} | options
        answer = await http.request(content=content, **options)
    return answer.status_code, answer.headers, answer.content


@pytest.mark.parametrize(
    ("body", "headers", "path"),
    [*((*asked, "fast") for asked in VALID), *((*asked, "full") for asked in OTHERS)],
)
async def test_with_and_without_the_fast_path_the_answer_is_the_same(
    body: Any, headers: dict[str, str], path: str, spans: InMemorySpanExporter | None
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body)
    paths: list[str] = []
    headers = JSON | ALICE | headers | {"traceparent": TRACE}
    fast = await ask(in_one_message(an_app(paths)), content, headers=headers)
    assert fast == await ask(in_one_message(an_app()), content, headers=headers)
    assert ("fast" in paths) == (path == "fast")
    check_spans(spans, "POST /checkout", 2)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"method": "GET"}, "GET /checkout"),
        ({"method": "HEAD"}, "HEAD /checkout"),
        ({"method": "OPTIONS"}, "OPTIONS /checkout"),
        ({"url": "/checkout?dry_run=true"}, "POST /checkout"),
        ({"url": "/checkout?"}, "POST /checkout"),
        ({"url": "/checkout/"}, "POST"),
        ({"url": "/x"}, "POST"),
    ],
)
async def test_any_other_request_is_answered_as_without_it(
    options: dict[str, str], name: str, spans: InMemorySpanExporter | None
) -> None:
    asked = {"headers": JSON | ALICE | {"traceparent": TRACE}, **options}
    assert await ask(an_app([]), b"", **asked) == await ask(an_app(), b"", **asked)
    check_spans(spans, name, 2)


@pytest.mark.parametrize(("given", "outcome"), REFUSED)
@pytest.mark.parametrize(
    "body", [FIT, b"", b" " * (BODY_MAX_BYTES + 1)], ids=["fit", "none", "long"]
)
async def test_whoever_is_not_let_in_gets_one_answer_from_both_before_anything_is_read(
    given: list[tuple[str, str]],
    outcome: tuple[int, str],
    body: Any,
    spans: InMemorySpanExporter | None,
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body)
    headers, paths = [*JSON.items(), ("traceparent", TRACE), *given], list[str]()
    fast = await ask(in_one_message(an_app(paths)), content, headers=headers)
    assert fast == await ask(in_one_message(an_app()), content, headers=headers)
    assert (fast[0], json.loads(fast[2])["code"]) == outcome
    assert "www-authenticate" in fast[1]
    assert paths == []
    check_spans(spans, "POST /checkout", 2)


@pytest.mark.parametrize(("token", "restricted"), [("alice", True), ("crm", False)])
async def test_both_know_who_asks_and_whether_only_for_themselves(
    token: str, *, restricted: bool
) -> None:
    headers = JSON | {"Authorization": f"Bearer {token}"}
    for paths in (list[str](), None):
        answer = await ask(in_one_message(an_app(paths)), json.dumps(FIT), headers=headers)
        assert json.loads(answer[2])[-2:] == [token, restricted]


async def test_both_count_a_request_once_and_say_what_is_left() -> None:
    for paths in (list[str](), None):
        gate = Gate("order", CALLERS.verifier, RateLimit("subject", RequestRate(2, 3600)))
        app = in_one_message(an_app(paths, gate))
        answers = [await ask(app, json.dumps(FIT)) for _ in range(3)]
        assert [answer[0] for answer in answers] == [201, 201, 429]
        left = [answer[1]["RateLimit"].split(";")[1] for answer in answers]
        assert left == ["r=1", "r=0", "r=0"]
        assert answers[2][1]["RateLimit-Policy"] == '"subject";q=2;w=3600'
        assert json.loads(answers[2][2])["code"] == "rate_limited"
        assert 0 < int(answers[2][1]["Retry-After"]) <= 1800
        other = await ask(app, json.dumps(FIT), headers=JSON | {"Authorization": "Bearer crm"})
        assert other[0] == 201


async def test_a_header_that_comes_twice_is_refused_as_without_it() -> None:
    for name in ("Idempotency-Key", "Prefer"):
        headers = [*JSON.items(), *ALICE.items(), (name, "a"), (name, "b")]
        paths: list[str] = []
        fast = await ask(in_one_message(an_app(paths)), json.dumps(FIT), headers=headers)
        assert fast == await ask(in_one_message(an_app()), json.dumps(FIT), headers=headers)
        assert (fast[0], json.loads(fast[2])["code"]) == (400, "repeated_header")


async def test_a_body_in_parts_is_read_by_fastapi() -> None:
    async def parts() -> Any:
        yield b'{"sku": "CLOCK",'
        yield b' "quantity": 1}'

    paths: list[str] = []
    assert await ask(an_app(paths), parts()) == await ask(an_app(), parts())
    assert paths == ["full"]


def test_the_document_is_the_same() -> None:
    assert json.dumps(an_app([]).openapi()) == json.dumps(an_app().openapi())


def test_an_endpoint_that_takes_more_than_body_and_headers_can_have_no_fast_path() -> None:
    async def other() -> None: ...

    async def by_query(request: Request, body: Wanted, size: int = 1) -> Response:
        return Response()

    async def depending(
        request: Request, body: Wanted, _: Annotated[None, Depends(other)]
    ) -> Response:
        return Response()

    async def modelled(request: Request, body: Wanted) -> Wanted:
        return body

    for endpoint in (by_query, depending, modelled):
        app = make_app("order", conditions, CALLERS)
        app.post("/checkout")(open_to(PUBLIC)(endpoint))
        with pytest.raises(AssertionError):
            add_fast_path(app, "/checkout")


VALUES: Final = (
    *("null", "true", "0", "1", "-1", "1.0", "1e0", "1e400", "NaN", "-Infinity", "9" * 25),
    *('""', '" "', '"a"', '"1"', '"EUR"', '"eur"', '"tok_a"', '"\\u0000"', '"\\ud800"', '"é"'),
    *("[]", "[[]]", "{}", '{"a": 1}', "[1]", '["a"]', '[{"sku": "A", "quantity": 1}]'),
    '[{"sku": "A", "quantity": 1.0}, {"sku": "B", "quantity": true}]',
    '{"name": "A", "street": "B", "city": "C", "email": "D"}',
)


def test_a_checkout_that_the_fast_path_takes_is_the_one_that_fastapi_would_read() -> None:
    """FastAPI validates what Python's `json` made of the body, the fast path the bytes."""
    adapter, taken = TypeAdapter(Checkout), 0
    for name in [*Checkout.model_fields, "more"]:
        for value in VALUES:
            text = json.dumps(a_checkout(**{name: "VALUE"})).replace('"VALUE"', value)
            try:
                fast = adapter.validate_json(text.encode())
            except ValidationError:
                continue
            assert fast == adapter.validate_python(json.loads(text)), text
            taken += 1
    assert taken >= len(Checkout.model_fields)
