"""The console as a client of the issuer: OpenID Connect's code flow with PKCE (RFC 7636, RFC 9700).

The browser goes to the issuer with a `state`, a `nonce` and the digest of a `verifier`, and comes back with a
code. It counts for the browser alone that began (`state`), is exchanged by who knows the verifier alone, and
brings an ID token with the same nonce. What the console keeps of it is the access token, by which each
service decides, and the refresh token, both in the browser's cookies (session.py).
"""

import base64
import hashlib
import hmac
import secrets
from asyncio import Task, create_task, shield
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import httpx

from chassis import clock
from chassis.auth import (
    WELL_KNOWN,
    InvalidTokenError,
    JwtVerifier,
    KeysAwayError,
    endpoint_in,
)
from chassis.errors import SecretError
from chassis.secret import Secret
from chassis.tls import PLAIN

ANSWER_S: Final = 10.0
LIFE_S: Final = 300.0
"""Of an access token of which the issuer does not say how long it lasts."""
RENEWED_S: Final = 60.0
"""So long a refresh token is answered with what it was exchanged for: a page sends many requests at once."""
RENEWALS_MAX: Final = 1000


class NotSignedInError(Exception):
    """The issuer refuses, or its answer counts for nothing. `str()` says why, and quotes no secret."""


class IssuerAwayError(Exception):
    """The issuer gives no answer by which one could go on. `str()` says why."""


@dataclass(frozen=True, slots=True)
class OidcClient:
    """How the issuer knows the console; `public_url` is where browsers reach it, without a path."""

    issuer: str
    client_id: str
    client_secret: Secret
    scope: str
    public_url: str

    @property
    def redirect_uri(self) -> str:
        return f"{self.public_url.rstrip('/')}/login/callback"


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """A sign-in that was begun: the browser keeps it until it comes back. `after` is the page to go on to."""

    state: str
    nonce: str
    verifier: str
    after: str

    @classmethod
    def begun(cls, after: str) -> "SignInAttempt":
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, after)

    @property
    def challenge(self) -> str:
        """S256 (RFC 7636, section 4.2)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """`until` is when the access token ends, in seconds since 1970; without `refresh` it can't be renewed."""

    access: str
    until: float
    refresh: str = ""


@dataclass
class SignIn:
    """`identities` verifies ID tokens, which are for the client; `transport` is httpx' own if None."""

    client: OidcClient
    identities: JwtVerifier
    transport: httpx.AsyncBaseTransport | None = None
    _document: Mapping[str, Any] | None = None
    _renewals: OrderedDict[str, tuple[float, Task[IssuedTokens | None]]] = field(
        default_factory=OrderedDict
    )

    async def address(self, attempt: SignInAttempt) -> str:
        """Where the browser is sent. Raises IssuerAwayError."""
        asked = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_uri,
            "scope": self.client.scope,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return _with_query(await self._endpoint("authorization_endpoint"), asked)

    async def finished(self, attempt: SignInAttempt, code: str) -> IssuedTokens:
        """What a code is exchanged for. Raises NotSignedInError and IssuerAwayError."""
        answer = await self._asked(
            grant_type="authorization_code",
            code=code,
            redirect_uri=self.client.redirect_uri,
            code_verifier=attempt.verifier,
        )
        await self._check_identity(answer.get("id_token"), attempt)
        return _tokens(answer)

    async def renewed(self, refresh: str) -> IssuedTokens | None:
        """What a refresh token is exchanged for, once, however many ask; None where the issuer refuses it.

        Raises IssuerAwayError.
        """
        now, digest = clock.monotonic(), hashlib.sha256(refresh.encode()).hexdigest()
        began, task = self._renewals.get(digest, (float("-inf"), None))
        if task is None or now - began > RENEWED_S or _has_failed(task):
            task = create_task(self._renew(refresh))
            self._renewals[digest] = (now, task)
            self._renewals.move_to_end(digest)
            if len(self._renewals) > RENEWALS_MAX:
                self._renewals.popitem(last=False)
        return await shield(task)

    async def farewell(self) -> str:
        """Where one signs out at the issuer (OpenID Connect RP-Initiated Logout); "" where it offers none."""
        try:
            address = await self._endpoint("end_session_endpoint")
        except IssuerAwayError:
            return ""
        after = f"{self.client.public_url.rstrip('/')}/login"
        asked = {"client_id": self.client.client_id, "post_logout_redirect_uri": after}
        return _with_query(address, asked)

    async def _renew(self, refresh: str) -> IssuedTokens | None:
        try:
            answer = await self._asked(grant_type="refresh_token", refresh_token=refresh)
        except NotSignedInError:
            return None
        found = _tokens(answer)
        return found if found.refresh else IssuedTokens(found.access, found.until, refresh)

    async def _check_identity(self, id_token: object, attempt: SignInAttempt) -> None:
        """OpenID Connect Core, section 3.1.3.7."""
        if not isinstance(id_token, str):
            raise NotSignedInError("the issuer gives no ID token")
        try:
            claims = await self.identities.claims(id_token)
        except InvalidTokenError as error:
            raise NotSignedInError(f"the ID token counts for nothing: {error}") from None
        except KeysAwayError as error:
            raise IssuerAwayError(str(error)) from None
        if not _is_same(claims.get("nonce"), attempt.nonce):
            raise NotSignedInError("the ID token is of another sign-in")
        if claims.get("azp", self.client.client_id) != self.client.client_id:
            raise NotSignedInError("the ID token is of another client")

    async def _asked(self, **form: str) -> Mapping[str, Any]:
        """The answer of the token endpoint."""
        try:
            secret = self.client.client_secret.read()
        except SecretError as error:
            raise IssuerAwayError(str(error)) from None
        address = await self._endpoint("token_endpoint")
        offered = (await self._discovered()).get("token_endpoint_auth_methods_supported")
        login = None
        if secret and (not isinstance(offered, list) or "client_secret_basic" in offered):
            login = (quote_plus(self.client.client_id), quote_plus(secret))
        else:
            form |= {"client_id": self.client.client_id}
            form |= {"client_secret": secret} if secret else {}
        status, answer = await self._answer("POST", address, data=form, auth=login)
        if status != httpx.codes.OK:
            raise _refusal(status, answer)
        return answer

    async def _endpoint(self, name: str) -> str:
        document = await self._discovered()
        try:
            return endpoint_in(document, name, self.client.issuer)
        except ValueError as error:
            raise IssuerAwayError(str(error)) from None

    async def _discovered(self) -> Mapping[str, Any]:
        if self._document is None:
            issuer = self.client.issuer
            status, found = await self._answer("GET", f"{issuer.rstrip('/')}{WELL_KNOWN}")
            if status != httpx.codes.OK or found.get("issuer") != issuer:
                raise IssuerAwayError(f"{issuer} has no discovery document of its own")
            self._document = found
        return self._document

    async def _answer(self, method: str, url: str, **sent: Any) -> tuple[int, Mapping[str, Any]]:
        verify = PLAIN if url.startswith("http:") else True
        try:
            async with httpx.AsyncClient(
                timeout=ANSWER_S, verify=verify, transport=self.transport
            ) as client:
                answer = await client.request(method, url, **sent)
            found = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise IssuerAwayError(str(error) or type(error).__name__) from None
        except ValueError:
            raise IssuerAwayError(f"{url} answers without JSON") from None
        return answer.status_code, found if isinstance(found, dict) else {}


def _is_same(found: object, expected: str) -> bool:
    return isinstance(found, str) and hmac.compare_digest(found.encode(), expected.encode())


def _has_failed(task: "Task[IssuedTokens | None]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _refusal(status: int, answer: Mapping[str, Any]) -> Exception:
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS:
        return IssuerAwayError(f"its token endpoint answers {status}")
    return NotSignedInError(f"the issuer refuses: {str(answer.get('error', status))[:64]}")


def _tokens(answer: Mapping[str, Any]) -> IssuedTokens:
    access, refresh = answer.get("access_token"), answer.get("refresh_token")
    life_s = answer.get("expires_in")
    if not isinstance(access, str) or not access:
        raise NotSignedInError("the issuer gives no access token")
    lasts_s = life_s if isinstance(life_s, int) and life_s > 0 else LIFE_S
    return IssuedTokens(
        access, clock.now().timestamp() + lasts_s, refresh if isinstance(refresh, str) else ""
    )


def _with_query(address: str, asked: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"
