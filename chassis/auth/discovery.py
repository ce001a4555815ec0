"""Where an issuer's keys are, and how they are fetched (OpenID Connect Discovery 1.0, RFC 8414, RFC 7517)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
from joserfc.jwk import Key
from pydantic_core import from_json

from chassis.auth.keys import usable
from chassis.tls import PLAIN

FETCH_S: Final = 5.0
DOCUMENT_MAX_BYTES: Final = 256 * 1024
WELL_KNOWN: Final = "/.well-known/openid-configuration"
DEVELOPMENT: Final = "development_only"
"""The member of its discovery document by which the local issuer of a stack says what it is."""


@dataclass(frozen=True, slots=True)
class JwksSource:
    """An issuer, by its URL; `jwks_url` is where its keys are, unless its discovery document says so.

    An issuer for development is refused in production.
    """

    issuer: str
    jwks_url: str = ""
    is_production: bool = False

    async def __call__(self) -> Mapping[str, Key]:
        """Its keys by id. Raises ValueError for an answer that is none, httpx.HTTPError, TimeoutError."""
        async with asyncio.timeout(FETCH_S), _client(self.issuer, self.jwks_url) as client:
            url = self.jwks_url or await self._discovered(client)
            return usable(await _json(client, url))

    async def _discovered(self, client: httpx.AsyncClient) -> str:
        document = await _json(client, f"{self.issuer.rstrip('/')}{WELL_KNOWN}")
        found = document if isinstance(document, dict) else {}
        if found.get("issuer") != self.issuer:
            raise ValueError(f"its discovery document is of another issuer than {self.issuer}")
        if found.get(DEVELOPMENT) and self.is_production:
            raise ValueError("it is an issuer for development only")
        return endpoint_in(found, "jwks_uri", self.issuer)


def endpoint_in(document: Mapping[str, Any], name: str, issuer: str) -> str:
    """A URL that an issuer's discovery document names: with TLS, where the issuer's own has it.

    Raises ValueError for none.
    """
    url = document.get(name)
    allowed = ("https://",) if _is_secured(issuer) else ("https://", "http://")
    if not isinstance(url, str) or not url.lower().startswith(allowed):
        raise ValueError(f"its discovery document has no {name}, or one without TLS")
    return url


def _client(*urls: str) -> httpx.AsyncClient:
    is_plain = not any(map(_is_secured, urls))
    return httpx.AsyncClient(timeout=FETCH_S, verify=PLAIN if is_plain else True)


def _is_secured(url: str) -> bool:
    return url.lower().startswith("https://")


async def _json(client: httpx.AsyncClient, url: str) -> Any:
    """A document of the issuer, of bounded size; a redirection is not followed."""
    content = b""
    async with client.stream("GET", url) as answer:
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"{url} answers {answer.status_code}")
        async for part in answer.aiter_bytes():
            content += part
            if len(content) > DOCUMENT_MAX_BYTES:
                raise ValueError(f"{url} is longer than {DOCUMENT_MAX_BYTES} bytes")
    try:
        return from_json(content)
    except ValueError:
        raise ValueError(f"{url} is not JSON") from None
