"""A small issuer of access tokens for a stack on this machine: OpenID discovery, keys, tokens, a sign-in.

For development only: it listens on loopback, gives a token for any subject and scopes to whoever has its
secret, and one of a role to who signs in with its password (signing_in.py); services refuse it in production.
It is a thread of the process that runs the stack, and ends with it, keys and all.
"""

import hmac
import json
import os
import secrets
import threading
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, KeyParameters

from chassis import clock, ids
from chassis.auth import AUDIT, OPERATE, SERVICE, VIEW
from saga_cli.stack import signing_in
from saga_cli.stack.signing_in import CodeFlow, IssuerReply
from saga_cli.topology import SERVICES
from shared_events.scopes import ORDERS, SHOP

AUDIENCE: Final = "saga"
CLIENT: Final = "saga"
SCOPES: Final = (ORDERS, SHOP, OPERATE, AUDIT, VIEW, SERVICE)
TOOL: Final = (SERVICE, SHOP, OPERATE)
"""What a tool of the stack needs, which places orders for many customers."""
LIFETIME_S: Final = 3600
LIFETIME_MAX_S: Final = 24 * 3600
BODY_MAX_BYTES: Final = 4096
AUTHORIZE: Final = "/authorize"
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
GRANT: Final = "client_credentials"
"""RFC 6749, section 4.4; `subject` and `lifetime` are parameters of this issuer's own."""


class LocalIssuer:
    """Raises RuntimeError where a service is to run as in production."""

    def __init__(self) -> None:
        if found := [n for n in map(_profile_of, SERVICES) if os.environ.get(n) == "production"]:
            raise RuntimeError(
                f"{found[0]}=production: a stack's own issuer is for development only"
            )
        self.secret = secrets.token_urlsafe(24)
        key_id: KeyParameters = {"kid": secrets.token_hex(8), "use": "sig", "alg": "ES256"}
        self.key = ECKey.generate_key("P-256", key_id)
        self.sign_in = CodeFlow(self)
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True, name="issuer").start()

    def token(
        self, subject: str, scopes: Iterable[str], lifetime_s: float = LIFETIME_S, **claims: Any
    ) -> str:
        """An access token (RFC 9068); `claims` come on top of its own, or take their place."""
        now = int(clock.now().timestamp())
        times = {"iat": now, "nbf": now, "exp": now + int(lifetime_s)}
        own = {"iss": self.url, "aud": AUDIENCE, "sub": subject, "client_id": CLIENT, **times}
        body = {**own, "jti": ids.new_id(), "scope": " ".join(scopes), **claims}
        return self._signed(body, "at+jwt")

    def identity(self, subject: str, client: str, lifetime_s: float, nonce: str) -> str:
        """An ID token (OpenID Connect Core, section 2)."""
        now = int(clock.now().timestamp())
        times = {"iat": now, "auth_time": now, "exp": now + int(lifetime_s)}
        own = {"iss": self.url, "aud": client, "sub": subject, **times}
        return self._signed(own | ({"nonce": nonce} if nonce else {}), "JWT")

    def _signed(self, body: dict[str, Any], kind: str) -> str:
        return jwt.encode({"alg": "ES256", "typ": kind, "kid": self.key.kid}, body, self.key)

    def documents(self) -> Mapping[str, dict[str, Any]]:
        """What it publishes, by path."""
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "authorization_endpoint": f"{self.url}{AUTHORIZE}",
                "token_endpoint": f"{self.url}/token",
                "grant_types_supported": [GRANT, signing_in.GRANT],
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                "scopes_supported": ("openid", *SCOPES),
                "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
                "development_only": True,
            },
            "/jwks": {"keys": [self.key.as_dict(private=False)]},
        }

    def granted(self, form: Mapping[str, str]) -> tuple[HTTPStatus, dict[str, Any]]:
        """The answer of the token endpoint (RFC 6749, sections 5.1 and 5.2)."""
        if form.get("grant_type") == signing_in.GRANT:
            return self.sign_in.exchanged(form)
        if form.get("grant_type") != GRANT:
            return HTTPStatus.BAD_REQUEST, {"error": "unsupported_grant_type"}
        if not hmac.compare_digest(form.get("client_secret", "").encode(), self.secret.encode()):
            return HTTPStatus.UNAUTHORIZED, {"error": "invalid_client"}
        scopes = form.get("scope", ORDERS).split()
        if unknown := [scope for scope in scopes if scope not in SCOPES]:
            why = f"there is no scope {unknown[0]}: there are {', '.join(SCOPES)}"
            return HTTPStatus.BAD_REQUEST, {"error": "invalid_scope", "error_description": why}
        asked = form.get("lifetime", "")
        lifetime_s = min(int(asked), LIFETIME_MAX_S) if asked.isdecimal() else LIFETIME_S
        token = self.token(form.get("subject", CLIENT), scopes, lifetime_s)
        return HTTPStatus.OK, {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": lifetime_s,
            "scope": " ".join(scopes),
        }


@cache
def local_issuer() -> LocalIssuer:
    """The issuer of this process, from the first call to its end."""
    return LocalIssuer()


def bearer(subject: str = "saga", scopes: Iterable[str] = TOOL) -> dict[str, str]:
    """The header by which the services of this process's stacks know who asks."""
    return {"Authorization": f"Bearer {local_issuer().token(subject, scopes, LIFETIME_MAX_S)}"}


def asked_for(
    url: str, secret: str, subject: str, scopes: Iterable[str], lifetime_s: int = LIFETIME_S
) -> str:
    """A token of the issuer of another process. Raises httpx.HTTPError, and ValueError for a refusal."""
    form = {
        "grant_type": GRANT,
        "client_id": CLIENT,
        "client_secret": secret,
        "subject": subject,
        "scope": " ".join(scopes),
        "lifetime": str(lifetime_s),
    }
    answer = httpx.post(f"{url}/token", data=form, timeout=10)
    body = answer.json()
    if not answer.is_success:
        raise ValueError(body.get("error_description") or body["error"])
    return str(body["access_token"])


def _profile_of(service: Any) -> str:
    return f"{service.prefix}_PROFILE"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, issuer: LocalIssuer) -> None:
        self.issuer = issuer
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == AUTHORIZE:
            self._show(self.server.issuer.sign_in.shown(_fields(query)))
            return
        document = self.server.issuer.documents().get(self.path)
        self._answer(*((HTTPStatus.OK, document) if document else _NONE))

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if (
            self.path not in {"/token", AUTHORIZE}
            or not length.isdecimal()
            or int(length) > BODY_MAX_BYTES
        ):
            self._answer(*_NONE)
            return
        form, issuer = _fields(self.rfile.read(int(length)).decode("latin-1")), self.server.issuer
        if self.path == AUTHORIZE:
            self._show(issuer.sign_in.decided(form))
        else:
            self._answer(*issuer.granted(form))

    def log_message(self, *_: Any) -> None:
        """A stack's terminal is for its services."""

    def _answer(self, status: HTTPStatus, document: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(document), {"Content-Type": "application/json"})

    def _show(self, reply: IssuerReply) -> None:
        more = {"Location": reply.location} if reply.location else {}
        self._send(reply.status, reply.html, {"Content-Type": "text/html; charset=utf-8", **more})

    def _send(self, status: HTTPStatus, text: str, headers: Mapping[str, str]) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in {**headers, **HEADERS}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _fields(text: str) -> dict[str, str]:
    return {name: x[0] for name, x in parse_qs(text).items()}


_NONE: Final = (HTTPStatus.NOT_FOUND, {"error": "invalid_request"})
