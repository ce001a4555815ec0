"""Who asks in a test: real services know by a token, applications in this process by a gate."""

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import httpx
import pytest

from chassis.auth import Caller, InvalidTokenError
from chassis.http import Gate
from saga_cli.stack.issuer import TOOL, bearer

ANONYMOUS: Final = {"Authorization": ""}
"""The headers of a request without a token."""


class KnownTokens:
    """A `Verifier` without cryptography: it knows the tokens that it is given, and no other."""

    def __init__(self, callers: dict[str, Caller]) -> None:
        self.callers = callers

    def known(self, token: str) -> Caller | None:
        return self.callers.get(token)

    async def verify(self, token: str) -> Caller:
        if (caller := self.callers.get(token)) is None:
            raise InvalidTokenError("it is not known")
        return caller


@cache
def headers_of(subject: str = "test", scopes: Iterable[str] = TOOL) -> dict[str, str]:
    """Of a request to real services."""
    return bearer(subject, scopes)


def open_gate(service: str = "order") -> Gate:
    """It asks nobody who they are."""
    return Gate(service, None)


def gate_for(**callers: Iterable[str]) -> Gate:
    """It knows these callers, whose tokens are their names, with their scopes."""
    return Gate("order", known_tokens(**callers))


def known_tokens(**callers: Iterable[str]) -> KnownTokens:
    return KnownTokens({name: Caller(name, frozenset(scopes)) for name, scopes in callers.items()})


def show_tokens(patch: pytest.MonkeyPatch) -> None:
    """Requests to real services have a token that opens all but the auditors' routes, unless they say."""
    for client in (httpx.Client, httpx.AsyncClient):
        patch.setattr(client, "build_request", _with_token(client.build_request))


def _with_token(build: Any) -> Any:
    def built(client: Any, *words: Any, **more: Any) -> httpx.Request:
        request: httpx.Request = build(client, *words, **more)
        if request.url.host == "127.0.0.1" and "authorization" not in request.headers:
            request.headers.update(headers_of())
        return request

    return built
