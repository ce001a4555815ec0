"""Which bodies are read at all, and what a text in a command may not hold."""

import gzip
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
from pydantic import BaseModel

from chassis import clock, ids
from chassis.commands import CardNumberError, Commands
from chassis.health import Condition
from chassis.http import PUBLIC, open_to
from chassis.http.app import make_app
from chassis.message import Message
from order_svc.messages import CartLine
from tests.support.callers import open_gate
from tests.support.problems import problem_of

JSON: Final = {"Content-Type": "application/json"}
BODY: Final = b'{"name": "ann"}'
CARD: Final = "4242-4242-4242-4242"


class BodyOfName(BaseModel):
    name: str


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = make_app("a service", conditions, open_gate())

    @app.post("/names")
    @open_to(PUBLIC)
    async def name(body: BodyOfName) -> dict[str, str]:
        return {"name": body.name}

    @app.post("/refused")
    @open_to(PUBLIC)
    async def refused(body: BodyOfName) -> None:
        raise CardNumberError(body.name)

    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://order") as made:
        yield made


async def conditions() -> tuple[Condition, ...]:
    return ()


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    media_type = answer.headers["content-type"]
    return (answer.status_code, media_type) == (status, "application/problem+json") and bool(
        answer.json()["code"] == code
    )


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "Application/JSON; charset=utf-8", "application/vnd.acme.v1+json"],
)
async def test_json_is_read(client: httpx.AsyncClient, media_type: str) -> None:
    answer = await client.post("/names", content=BODY, headers={"Content-Type": media_type})
    assert answer.json() == {"name": "ann"}


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/xml", "text/json",
     "multipart/form-data; boundary=x", "application/jsonp", "application/json+x"],
)  # fmt: skip
async def test_another_media_type_is_415_and_says_what_is_taken(
    client: httpx.AsyncClient, media_type: str
) -> None:
    answer = await client.post("/names", content=BODY, headers={"Content-Type": media_type})
    assert is_problem(answer, 415, "unsupported_media_type")
    assert answer.headers["accept"] == "application/json"


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, identity", "x"])
async def test_an_encoded_body_is_415_and_says_what_is_taken(
    client: httpx.AsyncClient, encoding: str
) -> None:
    headers = JSON | {"Content-Encoding": encoding}
    for body in (gzip.compress(BODY), BODY):  # whether or not it is as it says
        answer = await client.post("/names", content=body, headers=headers)
        assert is_problem(answer, 415, "unsupported_encoding")
        assert answer.headers["accept-encoding"] == "identity"


async def test_identity_is_no_encoding(client: httpx.AsyncClient) -> None:
    headers = JSON | {"Content-Encoding": "Identity"}
    assert (await client.post("/names", content=BODY, headers=headers)).status_code == 200


async def test_a_route_that_is_not_there_goes_before_the_body(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "text/plain"}
    answer = await client.post("/nothing", content=BODY, headers=headers)
    assert problem_of(answer) == (404, "not_found")
    answer = await client.put("/names", content=BODY, headers=headers)
    assert problem_of(answer) == (405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/names/", "/health/live/", "/names//"])
async def test_nothing_is_redirected_by_the_host_that_a_client_names(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.request(
        "POST", path, content=BODY, headers=JSON | {"Host": "evil.example"}
    )
    assert problem_of(answer) == (404, "not_found")
    assert "location" not in answer.headers


async def test_a_card_number_is_a_problem_that_names_the_field_and_not_the_number(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/refused", json={"name": "customer_id"})
    assert is_problem(answer, 422, "card_number")
    assert answer.json()["errors"][0]["field"] == "customer_id"


@pytest.mark.parametrize(
    "parts",
    [
        {"body": CartLine(sku=CARD, quantity=1)},
        {"body": [CartLine(sku="A", quantity=1)], "companions": (CartLine(sku=CARD, quantity=1),)},
    ],
)
async def test_no_command_is_decided_that_holds_a_card_number(parts: dict[str, Any]) -> None:
    """Whoever brings it: a route, an operator or a webhook. There is no store that could keep it."""
    commands = Commands(handler=None)  # type: ignore[arg-type]
    message = Message(id=UUID(ids.new_id()), key="A", at=clock.now(), traceparent="", **parts)
    with pytest.raises(CardNumberError) as caught:
        await commands.execute(message)
    assert caught.value.field == "sku"
    assert CARD not in str(caught.value)
