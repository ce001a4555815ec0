"""Signing in to the console at the issuer of a stack on this machine: the flow, and what it refuses."""

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Final

import httpx
import pytest

from chassis.auth import IssuerKeys, JwksSource, JwtVerifier
from chassis.http import Gate
from chassis.secret import NO_SECRET
from console.web.app import ConsoleOptions, make_console
from console.web.oidc import OidcClient, SignIn, SignInAttempt
from saga_cli.stack import signing_in
from saga_cli.stack.issuer import AUDIENCE, LocalIssuer
from tests.support.console_case import HTML, nothing_fails
from tests.support.console_sample import SampleQueries, SampleServices
from tests.support.oidc_issuer import query_of

CLIENT: Final = "console"
PUBLIC: Final = "http://localhost:8006"
SCOPE: Final = "openid view operate audit"
HIDDEN: Final = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')


class LocalCase:
    """The issuer, a console that is its client, and a browser."""

    def __init__(self) -> None:
        self.issuer = LocalIssuer()
        keys = IssuerKeys(JwksSource(self.issuer.url))
        known = OidcClient(self.issuer.url, CLIENT, NO_SECRET, SCOPE, PUBLIC)
        self.issuer.sign_in.register(CLIENT, known.redirect_uri)
        self.sign_in = SignIn(known, JwtVerifier(self.issuer.url, CLIENT, keys))
        services = SampleServices()
        gate = Gate("console", JwtVerifier(self.issuer.url, AUDIENCE, keys))
        options = ConsoleOptions(sign_in=self.sign_in, transport=services.transport)
        queries = SampleQueries().as_queries()
        self.app = make_console(queries, services.urls, gate, nothing_fails, options)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.console = httpx.AsyncClient(transport=transport, base_url=PUBLIC, headers=HTML)
        self.web = httpx.AsyncClient()

    async def asked(self, **changed: str) -> dict[str, str]:
        """What the issuer is asked for a sign-in that the console has begun."""
        begun = await self.console.get("/login/start", params={"after": "/orders"})
        assert begun.headers["Location"].startswith(f"{self.issuer.url}/authorize?")
        return {**query_of(begun.headers["Location"]), **changed}

    async def page(self, asked: dict[str, str]) -> httpx.Response:
        return await self.web.get(f"{self.issuer.url}/authorize", params=asked)

    async def signing_in(self, user: str, password: str = "", **changed: str) -> httpx.Response:
        """The form of the page, as a browser sends it."""
        shown = await self.page(await self.asked(**changed))
        form = {name: unescape(value) for name, value in HIDDEN.findall(shown.text)}
        form |= {"user": user, "password": password or self.issuer.sign_in.password}
        return await self.web.post(f"{self.issuer.url}/authorize", data=form)

    async def code_of(self, attempt: SignInAttempt) -> str:
        """That ada gets for a sign-in that was begun elsewhere."""
        changed = {"code_challenge": attempt.challenge, "nonce": attempt.nonce}
        back = await self.signing_in("ada", **changed)
        return query_of(back.headers["Location"])["code"]

    async def exchanged(self, **changed: str) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "client_id": CLIENT,
            "redirect_uri": f"{PUBLIC}/login/callback",
        }
        return await self.web.post(f"{self.issuer.url}/token", data={**form, **changed})


@pytest.fixture
async def case() -> AsyncIterator[LocalCase]:
    made = LocalCase()
    yield made
    await made.console.aclose()
    await made.web.aclose()
    await made.app.state.console.close()


@pytest.mark.parametrize(
    ("user", "shown"), [("ada", "ada, operator"), ("eve", "eve, auditor"), ("vera", "vera, viewer")]
)
async def test_one_signs_in_as_a_person_of_a_role(case: LocalCase, user: str, shown: str) -> None:
    page = await case.page(await case.asked())
    assert (page.status_code, f'value="{user}"' in page.text) == (200, True)
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    back = await case.signing_in(user)
    address = back.headers["Location"]
    assert (back.status_code, address.startswith(f"{PUBLIC}/login/callback?")) == (303, True)
    after = await case.console.get(address)
    assert (after.status_code, after.headers["Location"]) == (303, "/orders")
    assert shown in (await case.console.get("/orders")).text


async def test_without_the_password_nobody_gets_a_code(case: LocalCase) -> None:
    for user, password in (("ada", "a guess"), ("nobody", case.issuer.sign_in.password)):
        refused = await case.signing_in(user, password)
        assert (refused.is_error, "Location" in refused.headers) == (True, False)
        assert "That is not the password." in refused.text


async def test_a_code_counts_once_and_for_who_knows_the_verifier(case: LocalCase) -> None:
    attempt = SignInAttempt.begun("/")
    code = await case.code_of(attempt)
    first = await case.exchanged(code=code, code_verifier=attempt.verifier)
    assert (first.status_code, first.json()["scope"]) == (200, "openid operate")
    claims = await case.sign_in.identities.claims(first.json()["id_token"])
    assert (claims["sub"], claims["nonce"], claims["aud"]) == ("ada", attempt.nonce, CLIENT)
    again = await case.exchanged(code=code, code_verifier=attempt.verifier)
    assert (again.is_error, again.json()) == (True, {"error": "invalid_grant"})


@pytest.mark.parametrize(
    "changed",
    [
        {"code_verifier": SignInAttempt.begun("/").verifier},
        {"code_verifier": ""},
        {"client_id": "shop"},
        {"redirect_uri": f"{PUBLIC}/elsewhere"},
        {"code": "never given"},
    ],
)
async def test_a_code_is_exchanged_by_who_it_was_given_for_alone(
    case: LocalCase, changed: dict[str, str]
) -> None:
    attempt = SignInAttempt.begun("/")
    code = await case.code_of(attempt)
    form = {"code": code, "code_verifier": attempt.verifier, **changed}
    assert (await case.exchanged(**form)).json() == {"error": "invalid_grant"}


async def test_a_code_ends(case: LocalCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_in, "CODE_S", 0.0)
    attempt = SignInAttempt.begun("/")
    code = await case.code_of(attempt)
    ended = await case.exchanged(code=code, code_verifier=attempt.verifier)
    assert ended.json() == {"error": "invalid_grant"}


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": "operate"}, "invalid_scope"),
    ],
)
async def test_what_is_wrong_with_a_request_is_told_to_the_client(
    case: LocalCase, changed: dict[str, str], error: str
) -> None:
    asked = await case.asked(**changed)
    back = await case.page(asked)
    answer = query_of(back.headers["Location"])
    assert (answer["error"], answer["state"]) == (error, asked["state"])
    posted = await case.web.post(f"{case.issuer.url}/authorize", data={**asked, "user": "ada"})
    assert query_of(posted.headers["Location"])["error"] == error


@pytest.mark.parametrize(
    "changed",
    [{"client_id": "shop"}, {"redirect_uri": "https://evil.example/login/callback"}],
)
async def test_a_browser_is_sent_nowhere_that_is_not_registered(
    case: LocalCase, changed: dict[str, str]
) -> None:
    answer = await case.page(await case.asked(**changed))
    assert (answer.is_error, "Location" in answer.headers) == (True, False)
    assert "There is no such client with such a redirect_uri." in answer.text


async def test_what_a_request_says_is_text_on_the_page(case: LocalCase) -> None:
    shown = await case.page(await case.asked(state='"><script>alert(1)</script>'))
    assert "<script>" not in shown.text
    assert "&lt;script&gt;" in shown.text
