"""Signing in at the issuer: the flow, what is refused, and what becomes of a session."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest

from chassis.http import Gate
from console.settings import ConsoleSettings
from console.web.app import ConsoleOptions, make_console
from tests.support.console_case import HTML, nothing_fails, refusal_of
from tests.support.console_sample import SampleQueries, SampleServices
from tests.support.issuing import ISSUER, a_verifier
from tests.support.oidc_issuer import CLIENT, PUBLIC, OidcIssuer, query_of

PART: Final = {"HX-Request": "true"}
GOOD: Final = {
    "CONSOLE_KAFKA_BOOTSTRAP": "kafka:9092",
    "CONSOLE_DATABASE_URL": "postgresql://console@db/console_db",
    "CONSOLE_AUTH_ISSUER": ISSUER,
    "CONSOLE_OIDC_CLIENT_ID": CLIENT,
    "CONSOLE_OIDC_CLIENT_SECRET": "s",
    "CONSOLE_PUBLIC_URL": PUBLIC,
}


class SignInCase:
    """A console whose tokens are those of the issuer, and a browser that has not signed in."""

    def __init__(self) -> None:
        self.issuer = OidcIssuer()
        queries, services = SampleQueries(), SampleServices()
        self.sign_in = self.issuer.sign_in()
        self.app = make_console(
            queries.as_queries(),
            services.urls,
            Gate("console", a_verifier()),
            nothing_fails,
            ConsoleOptions(sign_in=self.sign_in, transport=services.transport),
        )
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url=PUBLIC, headers=HTML)
        self.http.headers["Authorization"] = ""
        del self.http.headers["Authorization"]

    async def begin(self, after: str = "/orders") -> str:
        """Where the issuer sends the browser back to."""
        answer = await self.http.get("/login/start", params={"after": after})
        assert answer.status_code == 303, answer.text
        return self.issuer.approve(answer.headers["Location"])

    async def signed_in(self) -> httpx.Response:
        return await self.http.get(await self.begin())


@pytest.fixture
async def case() -> AsyncIterator[SignInCase]:
    made = SignInCase()
    yield made
    await made.http.aclose()
    await made.app.state.console.close()


async def test_one_signs_in_at_the_issuer_and_comes_back_to_the_page(case: SignInCase) -> None:
    shown = await case.http.get("/login", params={"after": "/orders"})
    assert 'href="/login/start?after=%2Forders"' in shown.text
    started = await case.http.get("/login/start", params={"after": "/orders"})
    asked = query_of(started.headers["Location"])
    same = ("response_type", "client_id", "redirect_uri", "scope", "code_challenge_method")
    callback = f"{PUBLIC}/login/callback"
    assert [asked[name] for name in same] == ["code", CLIENT, callback, "openid operate", "S256"]
    back = await case.http.get(case.issuer.approve(started.headers["Location"]))
    assert (back.status_code, back.headers["Location"]) == (303, "/orders")
    page = await case.http.get("/orders")
    assert "alice, operator" in page.text


async def test_tokens_are_kept_where_no_script_reads_them_and_are_sent_by_tls_alone(
    case: SignInCase,
) -> None:
    back = await case.signed_in()
    kept = [cookie for cookie in back.headers.get_list("Set-Cookie") if "Max-Age=0" not in cookie]
    assert {cookie.partition("=")[0] for cookie in kept} == {"console_session", "console_renewal"}
    for cookie in kept:
        assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "console_sign_in" not in case.http.cookies


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"nonce": "other"}, "of another sign-in"),
        ({"nonce": None}, "of another sign-in"),
        ({"aud": "saga"}, "for another audience"),
        ({"iss": "https://evil.example"}, "of another issuer"),
        ({"azp": "shop"}, "of another client"),
        ({"exp": 1}, "it has expired"),
    ],
)
async def test_an_id_token_that_is_not_of_this_sign_in_counts_for_nothing(
    case: SignInCase, changed: dict[str, Any], why: str
) -> None:
    case.issuer.identity = changed
    back = await case.signed_in()
    assert refusal_of(back) == (401, "sign_in_refused")
    assert why in back.text
    assert (await case.http.get("/orders")).status_code == 303


async def test_another_browser_can_not_end_what_this_one_began(case: SignInCase) -> None:
    address = await case.begin()
    case.http.cookies.clear()
    assert refusal_of(await case.http.get(address)) == (401, "sign_in_refused")
    await case.begin()
    assert refusal_of(await case.http.get(address)) == (401, "sign_in_refused")
    assert case.issuer.asked == []


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"error": "access_denied"}, "the issuer says access_denied"),
        ({"code": "x", "iss": "https://evil.example"}, "of another issuer"),
        ({}, "the issuer says nothing"),
        ({"code": "never given"}, "the issuer refuses: invalid_grant"),
    ],
)
async def test_what_the_issuer_refuses_is_said(
    case: SignInCase, query: dict[str, str], why: str
) -> None:
    state = query_of(await case.begin())["state"]
    back = await case.http.get("/login/callback", params={"state": state, **query})
    assert refusal_of(back) == (401, "sign_in_refused")
    assert why in back.text


async def test_a_code_is_exchanged_with_the_verifier_of_the_browser_that_began(
    case: SignInCase,
) -> None:
    address = await case.begin()
    kept = case.http.cookies["console_sign_in"]
    case.http.cookies.clear()
    stolen = kept.replace("verifier=", "verifier=x")
    back = await case.http.get(address, headers={"Cookie": f"console_sign_in={stolen}"})
    assert refusal_of(back) == (401, "sign_in_refused")
    assert "invalid_grant" in back.text


async def test_who_may_not_look_is_not_signed_in(case: SignInCase) -> None:
    case.issuer.scope = "orders"
    back = await case.signed_in()
    assert refusal_of(back) == (401, "insufficient_scope")
    assert "console_session" not in case.http.cookies


async def test_a_token_that_has_nearly_ended_is_renewed_once_for_all_requests_of_a_page(
    case: SignInCase,
) -> None:
    case.issuer.lifetime_s = 10
    await case.signed_in()
    case.issuer.lifetime_s = 300
    answers = await asyncio.gather(*(case.http.get("/orders") for _ in range(3)))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    asked = [form["grant_type"] for form in case.issuer.asked]
    assert asked == ["authorization_code", "refresh_token"]
    assert case.http.cookies["console_renewal"].strip('"').endswith(".after-first")
    await case.http.get("/orders")
    assert len(case.issuer.asked) == 2


async def test_a_session_that_the_issuer_has_ended_ends(case: SignInCase) -> None:
    case.issuer.lifetime_s = 10
    await case.signed_in()
    case.issuer.revoked = {"first"}
    answer = await case.http.get("/orders")
    assert answer.headers["Location"] == "/login?after=/orders"
    assert "console_session" not in case.http.cookies
    assert "console_renewal" not in case.http.cookies


async def test_while_the_issuer_is_away_a_token_counts_to_its_end_and_is_renewed_later(
    case: SignInCase,
) -> None:
    case.issuer.lifetime_s = 10
    await case.signed_in()
    case.issuer.away = True
    assert (await case.http.get("/orders")).status_code == 200
    case.issuer.away = False
    assert (await case.http.get("/orders")).status_code == 200
    assert case.issuer.asked[-1]["refresh_token"] == "first"


async def test_signing_out_ends_the_session_here_and_at_the_issuer(case: SignInCase) -> None:
    await case.signed_in()
    answer = await case.http.post("/logout", headers=PART)
    address = answer.headers["HX-Redirect"]
    assert address.startswith(f"{ISSUER}/logout?")
    assert query_of(address) == {
        "client_id": CLIENT,
        "post_logout_redirect_uri": f"{PUBLIC}/login",
    }
    assert (await case.http.get("/orders")).status_code == 303


async def test_another_site_can_change_nothing_with_the_session(case: SignInCase) -> None:
    await case.signed_in()
    answer = await case.http.post("/logout")
    assert refusal_of(answer) == (403, "cross_site")
    assert (await case.http.get("/orders")).status_code == 200


@pytest.mark.parametrize(
    "changed", [{"issuer": "https://evil.example"}, {"authorization_endpoint": "http://x/a"}]
)
async def test_without_a_discovery_document_of_its_own_nobody_is_sent_anywhere(
    case: SignInCase, changed: dict[str, str]
) -> None:
    case.issuer.endpoints |= changed
    answer = await case.http.get("/login/start")
    assert refusal_of(answer) == (503, "issuer_away")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"CONSOLE_PUBLIC_URL": ""}, "public_url"),
        ({"CONSOLE_OIDC_CLIENT_ID": ""}, "oidc_client_secret"),
        ({"CONSOLE_OIDC_SCOPE": "view"}, "oidc_scope"),
        ({"CONSOLE_AUTH": "off"}, "oidc_client_id"),
        (
            {"CONSOLE_PROFILE": "production", "CONSOLE_PUBLIC_URL": "http://console"},
            "public_url",
        ),
    ],
)
def test_settings_that_make_no_sign_in_are_refused(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], field: str
) -> None:
    for name, value in {**GOOD, **changed}.items():
        if value:
            monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=field):
        ConsoleSettings()  # type: ignore[call-arg]  # read from the environment


def test_the_secret_of_the_client_may_be_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "secret"
    file.write_text("of the file\n")
    given = {name: x for name, x in GOOD.items() if "SECRET" not in name}
    for name, value in {**given, "CONSOLE_OIDC_CLIENT_SECRET_FILE": str(file)}.items():
        monkeypatch.setenv(name, value)
    settings = ConsoleSettings()  # type: ignore[call-arg]  # read from the environment
    assert settings.oidc_client_secret.read() == "of the file"
