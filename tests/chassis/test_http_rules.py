"""What RFC 9110, 6750, 7240 and 9651 say of requests, on an app as a service makes it."""

from functools import cache
from types import SimpleNamespace
from typing import Annotated, Any, Final, cast, get_args

import httpx
import pytest
from fastapi import FastAPI, Query, Request, Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, TypeAdapter

from chassis.commands import Commands, InFlightError
from chassis.decision import Refusal, RefusalKind
from chassis.http import PUBLIC, Access, open_to
from chassis.http.app import execute
from chassis.http.fast_path import add_fast_path
from chassis.http.header_fields import IdempotencyKeyHeader, preferences
from chassis.http.operator_api import app_of
from chassis.http.texts import Code, LineText
from chassis.message import Decided
from chassis.process.runtime import Node
from tests.support.callers import gate_for
from tests.support.problems import outcome_of, problem_of

TOKEN: Final = "ada"


class StrictName(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: LineText


def add_keyed(app: FastAPI) -> None:
    """Two routes that answer with the claim of their command."""

    async def claimed(request: Request, key: str | None) -> dict[str, Any]:
        found: list[Any] = []

        async def execute_command(command: Any) -> Decided:
            found.append(command.claim)
            return Decided((), None)

        commands = cast("Commands", SimpleNamespace(execute=execute_command))
        await execute(commands, request, "key", None, idempotency_key=key)
        return {"scope": found[0].scope, "key": found[0].key}

    @app.post("/keyed", tags=["things"])
    @open_to(Access(own={"orders"}, every={"audit"}))
    async def keyed(
        request: Request, idempotency_key: IdempotencyKeyHeader = None
    ) -> dict[str, Any]:
        return await claimed(request, idempotency_key)

    @app.post("/keyed-by-nobody", tags=["things"])
    @open_to(PUBLIC)
    async def keyed_by_nobody(
        request: Request, idempotency_key: IdempotencyKeyHeader = None
    ) -> dict[str, Any]:
        return await claimed(request, idempotency_key)


@cache
def an_app() -> FastAPI:
    async def conditions() -> tuple[Any, ...]:
        return ()

    node = SimpleNamespace(
        service=SimpleNamespace(name="order"),
        operations=SimpleNamespace(),
        conditions=conditions,
        gate=gate_for(ada=("operate",), eve=("audit",), alice=("orders",)),
    )
    app = app_of(cast("Node", node), "", {})

    @app.get("/things/{code}", tags=["things"])
    @open_to(PUBLIC)
    async def get_thing(code: Code, size: int = 1) -> dict[str, Any]:
        return {"code": code, "size": size}

    @app.put("/things/{code}", tags=["things"])
    @open_to(PUBLIC)
    async def put_thing(code: Code, body: StrictName) -> dict[str, Any]:
        return {"code": code, "name": body.name}

    @app.get("/many", tags=["things"])
    @open_to(PUBLIC)
    async def get_many(code: Annotated[list[Code], Query(max_length=3)]) -> list[str]:
        return code

    @app.post("/checkout", status_code=201, tags=["things"])
    @open_to(PUBLIC)
    async def checkout(
        request: Request, body: StrictName, idempotency_key: IdempotencyKeyHeader = None
    ) -> dict[str, Any]:
        if body.name == "busy":
            raise InFlightError("the same request is being handled")
        return {"key": idempotency_key}

    @app.post("/refused/{code}", tags=["things"])
    @open_to(PUBLIC)
    async def refused(request: Request, code: Code) -> None:
        async def execute_command(_command: Any) -> Refusal:
            return Refusal("not_now", "it is refused", cast("RefusalKind", code))

        commands = SimpleNamespace(execute=execute_command)
        await execute(cast("Commands", commands), request, "key", None)

    add_keyed(app)

    @app.post("/short", status_code=201, tags=["things"])
    @open_to(PUBLIC)
    async def short(request: Request, body: StrictName) -> Response:
        raise InFlightError(str(body.name))

    add_fast_path(app, "/short")
    return app


async def ask(method: str, url: str, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(an_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://order") as http:
        return await http.request(method, url, **more)


@pytest.mark.parametrize(
    ("path", "has"),
    [
        ("/things/x", "GET, HEAD, PUT"),
        ("/many", "GET, HEAD"),
        ("/checkout", "POST"),
        ("/short", "POST"),
        ("/health/live", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/ops/orders", "GET, HEAD"),
        ("/ops/dead-letters/discard", "POST"),
        ("/openapi.json", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_a_method_that_a_path_has_not_is_told_which_it_has(
    method: str, path: str, has: str
) -> None:
    answer = await ask(method, path)
    assert problem_of(answer) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == has


@pytest.mark.parametrize(
    "path", ["/things/x", "/health/live", "/metrics", "/ops/orders", "/none", "/openapi.json"]
)
async def test_head_is_answered_as_get_without_the_content(path: str) -> None:
    head, get = await ask("HEAD", path), await ask("GET", path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    if path != "/metrics":  # which grows by each look
        assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_of_a_token_has_no_case(scheme: str) -> None:
    answer = await ask("GET", "/ops/orders", headers={"Authorization": f"{scheme} {TOKEN}"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")  # no key


@pytest.mark.parametrize(
    ("given", "code", "error"),
    [
        (None, "token_missing", None),
        (TOKEN, "token_missing", None),
        (f"Basic {TOKEN}", "token_missing", None),
        ("Bearer", "token_missing", None),
        ("Bearer ", "token_missing", None),
        ("Bearer wrong", "invalid_token", "invalid_token"),
        ("Bearer ada ", "invalid_request", None),
        ("Bearer ada eve", "invalid_token", "invalid_token"),
        ("Bearer \xff", "invalid_token", "invalid_token"),
    ],
)
async def test_whoever_is_unknown_is_told_the_scheme(
    given: str | None, code: str, error: str | None
) -> None:
    headers = {b"Authorization": given.encode("latin-1")} if given else {}
    answer = await ask("GET", "/ops/orders", headers=headers)
    if code == "invalid_request":  # the blank after it is no part of a header's value
        assert problem_of(answer) == (422, code)
        return
    assert problem_of(answer) == (401, code)
    realm, *attributes = answer.headers["WWW-Authenticate"].split(", ", maxsplit=1)
    assert realm == 'Bearer realm="saga"'
    assert [text.split(", ")[0] for text in attributes] == ([f'error="{error}"'] if error else [])


async def test_who_has_not_the_scope_is_told_which_it_takes() -> None:
    for method, path, scope in (
        ("GET", "/ops/orders", "audit"),
        ("POST", "/ops/expedite", "operate"),
    ):
        answer = await ask(method, path, headers={"Authorization": "Bearer alice"})
        assert problem_of(answer) == (403, "insufficient_scope")
        asks = answer.headers["WWW-Authenticate"]
        assert ', error="insufficient_scope", ' in asks
        assert asks.endswith(f', scope="{scope}"')
    assert problem_of(
        await ask("POST", "/ops/expedite", headers={"Authorization": "Bearer eve"})
    ) == (
        403,
        "insufficient_scope",
    )


async def test_a_header_of_authorization_comes_once() -> None:
    lines = [("Authorization", "Bearer ada"), ("Authorization", "Bearer ada")]
    answer = await ask("GET", "/ops/orders?key=k", headers=lines)
    assert problem_of(answer) == (400, "repeated_header")
    assert 'error="invalid_request"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("host", ["evil.example.com", "evil.example.com:99", ""])
@pytest.mark.parametrize(
    "path", ["/things/x/", "/checkout/", "/ops/orders/", "/docs/", "/health/live/"]
)
async def test_no_answer_leads_to_the_host_that_a_request_names(path: str, host: str) -> None:
    """A slash too many is no reason to redirect, which would be to wherever Host says."""
    answer = await ask("GET", path, headers={"Host": host, "X-Forwarded-Host": host})
    assert problem_of(answer) == (404, "not_found")
    assert "Location" not in answer.headers
    assert "evil" not in answer.text + str(answer.headers)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("/things/x?colour=red", "unknown_parameter"),
        ("/things/x?Size=1", "unknown_parameter"),
        ("/things/x?size=1&size=2", "repeated_parameter"),
        ("/things/x?%00=", "unknown_parameter"),
        ("/health/live?x", "unknown_parameter"),
        ("/health/live?x=1", "unknown_parameter"),
        ("/many?code=a&code=b&x=", "unknown_parameter"),
        ("/many?code=a&code=b", None),
    ],
)
async def test_a_parameter_that_means_nothing_is_refused(url: str, code: str | None) -> None:
    answer = await ask("GET", url)
    assert outcome_of(answer) == ((400, code) if code else (200, ""))


@pytest.mark.parametrize("path", ["/checkout", "/short"])
async def test_both_ways_refuse_a_parameter_that_means_nothing(path: str) -> None:
    answer = await ask("POST", f"{path}?dry_run=true", json={"name": "a"})
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_parameter")


async def test_a_header_of_one_value_comes_once() -> None:
    lines = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await ask("POST", "/checkout", json={"name": "a"}, headers=lines)
    assert (answer.status_code, answer.json()["code"]) == (400, "repeated_header")


@pytest.mark.parametrize("name", ["\x00", "a\x00b", "a\nb", "\x1b[31m", "\x7f", "\x9b", "\u2028"])
@pytest.mark.parametrize("where", ["query", "body", "path"])
async def test_a_text_with_a_control_character_is_refused_wherever_it_enters(
    name: str, where: str
) -> None:
    match where:
        case "query":
            answer = await ask("GET", "/many", params={"code": name})
        case "body":
            answer = await ask("PUT", "/things/x", json={"name": name})
        case _:
            quoted = "".join(f"%{byte:02X}" for byte in name.encode())
            answer = await ask("GET", f"/things/{quoted}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    "body", [b'{"name": "\\ud800"}', b'{"\\ud800": 1}', b'{"name": "\\udc00a"}']
)
async def test_half_a_surrogate_pair_is_refused_as_a_value_and_as_a_name(body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await ask("PUT", "/things/x", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("kind", get_args(RefusalKind))
async def test_each_kind_of_refusal_has_its_status(kind: RefusalKind) -> None:
    answer = await ask("POST", f"/refused/{kind}")
    statuses = {"conflict": 409, "invalid": 422, "not_found": 404}
    assert problem_of(answer) == (statuses[kind], "not_now")
    assert answer.json()["detail"] == "it is refused"


async def test_a_key_is_its_callers_own() -> None:
    """And of who is not asked, as it was stored before there were callers."""
    for caller, scope in (("alice", " by alice"), ("eve", " by eve"), (None, "")):
        headers = {
            "Idempotency-Key": "k",
            **({"Authorization": f"Bearer {caller}"} if caller else {}),
        }
        path = "/keyed" if caller else "/keyed-by-nobody"
        answer = await ask("POST", path, headers=headers)
        assert answer.json() == {"scope": f"POST {path}{scope}", "key": "k"}


@pytest.mark.parametrize("path", ["/checkout", "/short"])
async def test_whoever_repeats_too_soon_is_told_when_to_come_back(path: str) -> None:
    answer = await ask("POST", path, json={"name": "busy"})
    assert problem_of(answer) == (409, "in_flight")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("abc", "abc"),
        ('"abc"', "abc"),
        (r'"a \"quoted\" \\ key"', 'a "quoted" \\ key'),
        ("k" * 255, "k" * 255),
        ('"' + "k" * 253 + '"', "k" * 253),
        ("a b", "a b"),
        ("a,b", "a,b"),
    ],
)
async def test_a_quoted_key_is_the_same_as_a_plain_one(given: str, key: str) -> None:
    headers = {"Idempotency-Key": given}
    answer = await ask("POST", "/checkout", json={"name": "a"}, headers=headers)
    assert answer.json() == {"key": key}


@pytest.mark.parametrize(
    "given", ["", " ", '""', '" "', '"', '"half', '"a"b', r'"\a"', "k" * 256, "\xff", '"a";x=1']
)
async def test_a_key_that_is_none_is_refused(given: str) -> None:
    headers = {b"Idempotency-Key": given.encode("latin-1")}
    answer = await ask("POST", "/checkout", json={"name": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_header")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=100))
def test_any_key_survives_its_quotes(key: str) -> None:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    if not key.startswith(" "):
        assert TypeAdapter(IdempotencyKeyHeader).validate_python(f'"{escaped}"') == key


@pytest.mark.parametrize(
    ("lines", "wait"),
    [
        (["wait=3"], "3"),
        (["respond-async", "wait=3"], "3"),
        (["respond-async, wait=3"], "3"),
        (['x="a, wait=3"'], None),
        ([r'x="a\", wait=3"'], None),
        (['x="a, wait=3'], None),
        (['x="a', 'wait=3"'], None),
        (['x="a, wait=3, \\'], None),
        (["Wait = 3; a=b"], "3"),
        (['wait="3"'], "3"),
        (["wait=1, wait=3"], "1"),
        (["wait=x", "wait=3"], "x"),
        (["handling=lenient;wait=3"], None),
        (["=3, wait=3, ,"], "3"),
        ([], None),
    ],
)
def test_preferences_are_read_as_the_rfc_says(lines: list[str], wait: str | None) -> None:
    assert preferences(lines).get("wait") == wait


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=60), max_size=4))
def test_any_preferences_are_read(lines: list[str]) -> None:
    assert all(name == name.lower() and name for name in preferences(lines))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("line", "wait"),
    [
        ('wait="' + r"\a" * 5_000 + '" x', None),
        ('wait="' + r"\"" * 5_000 + "x", '"' * 5_000 + "x"),
        ("wait" + " " * 5_000 + "x", None),
        ("wait=" + "a" * 5_000 + " x", None),
        ('"' * 5_000 + "x", None),
    ],
    ids=["escapes", "quotes", "blanks", "letters", "strings"],
)
def test_a_long_preference_is_read_in_a_time_that_grows_with_its_length(
    line: str, wait: str | None
) -> None:
    """A search with two ways to read an escape would outlast the test by years."""
    assert preferences([line]).get("wait") == wait
