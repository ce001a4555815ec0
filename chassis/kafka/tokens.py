"""Tokens for OAUTHBEARER: issued for a client's credentials (RFC 6749, 4.4), and kept while they last."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

from aiokafka import conn
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import SaslAuthenticationFailed

from chassis import clock
from chassis.errors import SecretError
from chassis.kafka.refused import NotLetInError
from chassis.kafka.tls import UnusableFileError, context_for_an_issuer

if TYPE_CHECKING:
    from chassis.kafka.cluster import Cluster

ANSWER_S: Final = 10.0
UNKNOWN_LIFE_S: Final = 60.0
EARLY: Final = 0.2
"""A token is replaced when so much of its life is left, but not more than EARLY_MAX_S."""
EARLY_MAX_S: Final = 60.0
OK, UNAUTHORIZED = 200, 401
REFUSALS: Final = {
    "invalid_client": "client_secret",
    "unauthorized_client": "client_id",
    "invalid_scope": "scope",
}
"""Which setting an issuer's error is about (RFC 6749, 5.2); any other is about its address."""


@dataclass(eq=False)
class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka carries no types
    """One for all clients of a cluster in this process."""

    cluster: "Cluster"
    _token: str = field(default="", repr=False)
    _until: float = 0.0

    async def token(self) -> str:
        """Raises NotLetInError."""
        if clock.monotonic() >= self._until:
            self._token, life_s = await self._issued()
            self._until = clock.monotonic() + life_s - min(EARLY * life_s, EARLY_MAX_S)
        return self._token

    def forget(self) -> None:
        """What Kafka has refused is not used again."""
        self._token, self._until = "", 0.0

    async def _issued(self) -> tuple[str, float]:
        """A new token, and the seconds that it lasts."""
        import httpx  # noqa: PLC0415 - most clusters have no use for it

        of = self.cluster
        asked = {"grant_type": "client_credentials"} | ({"scope": of.scope} if of.scope else {})
        try:
            login = quote_plus(of.client_id), quote_plus(of.client_secret.read())
            context = context_for_an_issuer(of.ca_file)
            async with httpx.AsyncClient(verify=context, timeout=ANSWER_S) as client:
                response = await client.post(of.token_url, data=asked, auth=login)
        except SecretError as error:
            raise NotLetInError(str(error)) from error
        except UnusableFileError as error:
            raise NotLetInError(f"{of.setting(error.field)}: {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise self._error("token_url", f"no answer ({why})") from error
        found = _json_of(response)
        if response.status_code != OK:
            word = found.get("error", "")
            named = word if isinstance(word, str) and re.fullmatch("[a-z_]{1,40}", word) else ""
            why = f"refused client {of.client_id} ({named or response.status_code})"
            other = "client_secret" if response.status_code == UNAUTHORIZED else "token_url"
            raise self._error(REFUSALS.get(named, other), why)
        token, life_s = found.get("access_token"), found.get("expires_in", UNKNOWN_LIFE_S)
        if not isinstance(token, str) or not isinstance(life_s, int | float) or life_s <= 0:
            raise self._error("token_url", "the answer has no token")
        return token, float(life_s)

    def _error(self, setting: str, why: str) -> NotLetInError:
        return NotLetInError(f"{self.cluster.setting(setting)}: {self.cluster.token_url}: {why}")


class RefusableAuthenticator(conn.OAuthAuthenticator):  # type: ignore[misc]  # aiokafka carries no types
    """aiokafka takes any answer for a welcome; Kafka's to a token that it refuses is a text (RFC 7628).

    Such a client would never notice: it takes the cluster for one without brokers, and asks without end.
    """

    async def step(self, payload: bytes | None) -> Any:
        if payload:
            raise SaslAuthenticationFailed(payload.decode(errors="replace"))
        return await super().step(payload)


conn.OAuthAuthenticator = (
    RefusableAuthenticator  # every connection of this process: aiokafka takes no other
)


@lru_cache(maxsize=8)
def tokens_of(cluster: "Cluster") -> ClientCredentials:
    return ClientCredentials(cluster)


def _json_of(response: Any) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
