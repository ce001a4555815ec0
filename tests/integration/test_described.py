"""The check that every other test here stands under does find what is not as described."""

import httpx
import pytest

from saga_cli.stack.services import Services
from tests.support.described import AnswerCheck, Description
from tests.support.documents import document_of

ORDER = "/orders/0199b4d2-7d54-7d7c-a6a5-b9f6f5a1c001"
JSON = {"Content-Type": "application/json"}


def test_every_response_of_a_service_is_looked_at(stack: Services, watch: AnswerCheck) -> None:
    before = watch.checked
    for path in ("/health/live", "/orders", "/catalogue", "/none", ORDER):
        httpx.get(f"{stack.url('order')}{path}")
    httpx.head(f"{stack.url('order')}/orders")
    assert watch.checked == before + 6


@pytest.mark.parametrize(
    ("method", "path", "response"),
    [
        ("GET", ORDER, httpx.Response(200, headers=JSON, content=b"{}")),
        ("GET", ORDER, httpx.Response(418, headers=JSON, content=b"{}")),
        ("GET", ORDER, httpx.Response(404, headers=JSON, content=b"{}")),
        ("GET", "/metrics", httpx.Response(200, headers=JSON, content=b"{}")),
        ("GET", "/none", httpx.Response(200, headers=JSON, content=b"{}")),
        ("DELETE", ORDER, httpx.Response(405, headers={"Allow": ""}, content=b"")),
        ("GET", "/ops/orders", httpx.Response(401, headers=JSON, content=b"{}")),
    ],
    ids=str,
)
def test_a_response_that_is_not_as_described_is_found(
    method: str, path: str, response: httpx.Response
) -> None:
    response.request = httpx.Request(method, f"http://order{path}")
    with pytest.raises(AssertionError):
        Description(document_of("order")).check(method, path, response)
