"""Signing in at a stack's own issuer: OpenID Connect's code flow, for browsers of this machine.

The page asks for the password that `saga up` prints, as others on this machine reach it too, and lists one
person for each role. A code counts once, for a minute, for the client and the address that it was given for,
and for who knows the verifier of its challenge (RFC 7636, S256 alone); the ID token has the nonce.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from chassis import clock
from chassis.auth import AUDIT, OPERATE, VIEW

GRANT: Final = "authorization_code"
CODE_S: Final = 60.0
CODES_MAX: Final = 1000
SESSION_S: Final = 12 * 3600
"""A token that a person signed in for; the console keeps it no longer either."""
VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
ASKED: Final = (
    *("response_type", "client_id", "redirect_uri", "scope", "state", "nonce"),
    *("code_challenge", "code_challenge_method"),
)
"""Parameters that the page hands on to itself."""


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    role: str
    scope: str


PEOPLE: Final = (
    Person("ada", "operator", OPERATE),
    Person("eve", "auditor", AUDIT),
    Person("vera", "viewer", VIEW),
)


class TokenMaker(Protocol):
    """What the issuer signs."""

    url: str

    def token(
        self, subject: str, scopes: Iterable[str], lifetime_s: float = ..., **claims: Any
    ) -> str: ...

    def identity(self, subject: str, client: str, lifetime_s: float, nonce: str) -> str: ...


@dataclass(frozen=True, slots=True)
class IssuerReply:
    """A page, or where the browser is sent."""

    status: HTTPStatus
    html: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True)
class CodeGrant:
    """What a code was given for; it counts to `until`, a reading of the monotonic clock."""

    person: Person
    client: str
    redirect_uri: str
    challenge: str
    nonce: str
    scopes: tuple[str, ...]
    until: float


@dataclass
class CodeFlow:
    """`clients` are addresses that browsers may be sent back to, by the id of a client."""

    issuer: TokenMaker
    password: str = field(default_factory=lambda: secrets.token_urlsafe(9), repr=False)
    clients: dict[str, set[str]] = field(default_factory=dict)
    _codes: dict[str, CodeGrant] = field(default_factory=dict)

    def register(self, client: str, redirect_uri: str) -> None:
        self.clients.setdefault(client, set()).add(redirect_uri)

    def shown(self, asked: Mapping[str, str]) -> IssuerReply:
        """The page to sign in on; what is wrong with the request is said there, or to the client."""
        return self._refused(asked) or IssuerReply(HTTPStatus.OK, _page(asked))

    def decided(self, form: Mapping[str, str]) -> IssuerReply:
        """Who signs in is sent back with a code."""
        if refused := self._refused(form):
            return refused
        person = next((each for each in PEOPLE if each.name == form.get("user")), None)
        given, password = form.get("password", "").encode(), self.password.encode()
        if person is None or not hmac.compare_digest(given, password):
            return IssuerReply(HTTPStatus.FORBIDDEN, _page(form, "That is not the password."))
        wanted = form["scope"].split()
        code, until = secrets.token_urlsafe(32), clock.monotonic() + CODE_S
        back = form["redirect_uri"], form["code_challenge"], form.get("nonce", "")
        scopes = tuple(scope for scope in wanted if scope == person.scope)
        self._forget_old()
        self._codes[code] = CodeGrant(person, form["client_id"], *back, scopes, until)
        return self._back(form, code=code)

    def exchanged(self, form: Mapping[str, str]) -> tuple[HTTPStatus, dict[str, Any]]:
        """The answer of the token endpoint; a code is gone with the first that brings it."""
        grant = self._codes.pop(form.get("code", ""), None)
        if grant is None or not _is_for(grant, form):
            return HTTPStatus.BAD_REQUEST, {"error": "invalid_grant"}
        name = grant.person.name
        return HTTPStatus.OK, {
            "access_token": self.issuer.token(
                name, grant.scopes, SESSION_S, client_id=grant.client
            ),
            "id_token": self.issuer.identity(name, grant.client, SESSION_S, grant.nonce),
            "token_type": "Bearer",
            "expires_in": SESSION_S,
            "scope": " ".join(("openid", *grant.scopes)),
        }

    def _refused(self, asked: Mapping[str, str]) -> IssuerReply | None:
        """None for a request that is as it should be (RFC 6749, section 4.1.2.1; RFC 7636, 4.4.1)."""
        if asked.get("redirect_uri") not in self.clients.get(asked.get("client_id", ""), ()):
            why = "There is no such client with such a redirect_uri."
            return IssuerReply(HTTPStatus.BAD_REQUEST, _document(f"<p>{why}</p>"))
        if asked.get("response_type") != "code":
            return self._back(asked, error="unsupported_response_type")
        is_s256 = asked.get("code_challenge_method") == "S256"
        if not is_s256 or not CHALLENGE.fullmatch(asked.get("code_challenge", "")):
            return self._back(asked, error="invalid_request")
        if "openid" not in asked.get("scope", "").split():
            return self._back(asked, error="invalid_scope")
        return None

    def _back(self, asked: Mapping[str, str], **answer: str) -> IssuerReply:
        if state := asked.get("state"):
            answer["state"] = state
        query = urlencode({**answer, "iss": self.issuer.url})
        return IssuerReply(HTTPStatus.SEE_OTHER, location=f"{asked['redirect_uri']}?{query}")

    def _forget_old(self) -> None:
        now = clock.monotonic()
        kept = [(code, grant) for code, grant in list(self._codes.items()) if grant.until > now]
        self._codes = dict(kept[1 - CODES_MAX :])


def _is_for(grant: CodeGrant, form: Mapping[str, str]) -> bool:
    verifier = form.get("code_verifier", "")
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return (
        grant.until > clock.monotonic()
        and (form.get("client_id"), form.get("redirect_uri")) == (grant.client, grant.redirect_uri)
        and VERIFIER.fullmatch(verifier) is not None
        and hmac.compare_digest(digest, grant.challenge.encode())
    )


STYLE: Final = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;"
    "margin:12vh auto;padding:0 1rem}h1{font-size:1.4rem}label,input,button{display:block;"
    "width:100%;box-sizing:border-box;font:inherit}input,button{padding:.6rem .8rem;margin:.3rem 0 .8rem;"
    "border:1px solid #888;border-radius:.4rem}button{text-align:left;cursor:pointer}"
    "button span{opacity:.75}[role=alert]{border-left:.3rem solid #c33;padding-left:.7rem}"
)


def _page(asked: Mapping[str, str], problem: str = "") -> str:
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(asked.get(name, ""))}">'
        for name in ASKED
    )
    people = "".join(
        f'<button name="user" value="{each.name}"><b>{each.name}</b> <span>{each.role}</span></button>'
        for each in PEOPLE
    )
    alert = f'<p role="alert">{problem}</p>' if problem else ""
    return _document(
        f"<p>To go on to {escape(asked['client_id'])}. This issuer is of a stack for development.</p>{alert}"
        f'<form method="post" action="/authorize">{hidden}<label for="password">Password, as'
        " <code>saga up</code> printed it</label>"
        '<input id="password" type="password" name="password" required autofocus autocomplete="off">'
        f"<p>Sign in as</p>{people}</form>"
    )


def _document(content: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{STYLE}</style></head><body><main><h1>Sign in</h1>{content}</main></body></html>"
    )
