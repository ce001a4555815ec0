"""Tokens of real issuers: the stack's own, and one that others have written (mock-oauth2-server)."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from chassis.auth import Caller, InvalidTokenError, IssuerKeys, JwksSource, JwtVerifier
from saga_cli.stack import binaries, ports
from saga_cli.stack.issuer import AUDIENCE, CLIENT, LIFETIME_MAX_S, LocalIssuer, asked_for
from saga_cli.stack.processes import ChildProcess
from tests.support.issuing import unsigned
from tests.support.waiting import until

VERSION: Final = "2.1.10"
CONFIGURATION: Final = Path(__file__).parents[2] / "deploy" / "issuer" / "mock-oauth2-server.json"
"""The one of compose.yaml."""
SMALL: Final = ("-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


@dataclass(frozen=True)
class Issuer:
    """`form` is what its token endpoint asks for, beside the subject and scopes."""

    url: str
    form: Callable[[str, str], dict[str, str]]

    def token(self, subject: str, scope: str) -> str:
        form = {"grant_type": "client_credentials", **self.form(subject, scope)}
        answer = httpx.post(f"{self.url}/token", data=form).raise_for_status()
        return str(answer.json()["access_token"])

    def verifier(self, **source: Any) -> JwtVerifier:
        return JwtVerifier(self.url, AUDIENCE, IssuerKeys(JwksSource(self.url, **source)))


@pytest.fixture(scope="module")
def local() -> LocalIssuer:
    return LocalIssuer()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    name, group = "mock-oauth2-server", "no.nav.security"
    jars = binaries.jars(f"{name}-{VERSION}", group, name, VERSION)
    port, folder = ports.hold(), tmp_path_factory.mktemp("issuer")
    main = "no.nav.security.mock.oauth2.StandaloneMockOAuth2ServerKt"
    environment = {
        "SERVER_HOSTNAME": "127.0.0.1",
        "SERVER_PORT": str(port.number),
        "JSON_CONFIG_PATH": str(CONFIGURATION),
    }
    command = [binaries.java(), *SMALL, "-cp", f"{jars}/*", main]
    process = ChildProcess("issuer", command, folder / "issuer.log", environment)
    process.start()
    url = f"http://127.0.0.1:{port.number}/saga"

    def answers() -> bool:
        assert process.is_alive(), process.tail()
        try:
            return httpx.get(f"{url}/.well-known/openid-configuration").is_success
        except httpx.TransportError:
            return False

    try:
        until(answers)
        yield Issuer(
            url, lambda who, scope: {"client_id": who, "client_secret": "x", "scope": scope}
        )
    finally:
        process.stop()
        port.release()


@pytest.fixture(params=["the stack's own", "mock-oauth2-server"])
def issuer(request: pytest.FixtureRequest, local: LocalIssuer) -> Issuer:
    if request.param == "mock-oauth2-server":
        found: Issuer = request.getfixturevalue("theirs")
        return found

    def form(subject: str, scope: str) -> dict[str, str]:
        secret = {"client_id": CLIENT, "client_secret": local.secret}
        return {**secret, "subject": subject, "scope": scope}

    return Issuer(local.url, form)


async def test_its_token_is_verified_with_the_keys_that_it_publishes(issuer: Issuer) -> None:
    token = await asyncio.to_thread(issuer.token, "alice", "orders shop")
    by_url = issuer.verifier(jwks_url=f"{issuer.url}/jwks")
    for verifier in (issuer.verifier(), by_url):
        caller = await verifier.verify(token)
        assert caller == Caller("alice", frozenset({"orders", "shop"}))
        assert verifier.known(token) == caller


async def test_nothing_of_its_token_can_be_changed(issuer: Issuer) -> None:
    token = await asyncio.to_thread(issuer.token, "alice", "orders")
    head, body, signature = token.split(".")
    other = (await asyncio.to_thread(issuer.token, "bob", "orders")).split(".")[1]
    verifier = issuer.verifier()
    forged = unsigned({"alg": "none", "kid": "x"}, {"sub": "alice"}).rpartition(".")[0]
    for wrong in (f"{head}.{other}.{signature}", f"{head}.{body}.", f"{forged}.{signature}"):
        with pytest.raises(InvalidTokenError):
            await verifier.verify(wrong)


async def test_a_token_of_another_issuer_is_refused(
    issuer: Issuer, local: LocalIssuer, theirs: Issuer
) -> None:
    verifier = issuer.verifier()
    other = LocalIssuer()
    for token in (other.token("alice", ["orders"]), other.token("a", ["orders"], iss=issuer.url)):
        with pytest.raises(InvalidTokenError):
            await verifier.verify(token)


async def test_in_production_the_stacks_own_issuer_is_not_believed(
    local: LocalIssuer, theirs: Issuer
) -> None:
    for url, why in ((local.url, "it is an issuer for development only"), (theirs.url, "")):
        keys = IssuerKeys(JwksSource(url, is_production=True))
        await keys.refresh()
        assert keys.failing == why


async def test_an_issuer_that_is_none_is_told_as_such(local: LocalIssuer) -> None:
    for url, jwks, why in (
        (f"{local.url}/other", "", "answers 404"),
        (local.url.replace("127.0.0.1", "localhost"), "", "is of another issuer than"),
        (local.url, f"{local.url}/.well-known/openid-configuration", "has no key for RS256"),
        (local.url, f"{local.url}/none", "answers 404"),
    ):
        keys = IssuerKeys(JwksSource(url, jwks))
        await keys.refresh()
        assert why in keys.failing
        assert keys.are_missing


# The stack's own


def test_it_gives_tokens_to_whoever_has_its_secret_alone(local: LocalIssuer) -> None:
    assert asked_for(local.url, local.secret, "alice", ["orders"]).count(".") == 2
    with pytest.raises(ValueError, match="invalid_client"):
        asked_for(local.url, "guessed", "alice", ["operate"])
    with pytest.raises(ValueError, match="there is no scope admin"):
        asked_for(local.url, local.secret, "alice", ["orders", "admin"])
    for form, code in (
        ({}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "invalid_client"),
    ):
        refused = httpx.post(f"{local.url}/token", data=form)
        assert (refused.is_success, refused.json()["error"]) == (False, code)
    for path in ("/", "/token", "/jwks/", "/../secret"):
        assert httpx.get(f"{local.url}{path}").json()["error"] == "invalid_request"


async def test_its_tokens_end(local: LocalIssuer) -> None:
    verifier = JwtVerifier(local.url, AUDIENCE, IssuerKeys(JwksSource(local.url)), skew_s=0)
    with pytest.raises(InvalidTokenError, match="has expired"):
        await verifier.verify(local.token("alice", ["orders"], lifetime_s=0))
    longest = await asyncio.to_thread(
        asked_for, local.url, local.secret, "alice", ["orders"], 10 * LIFETIME_MAX_S
    )
    assert (await verifier.verify(longest)).subject == "alice"


def test_it_does_not_start_beside_a_service_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not [name for name in os.environ if name.endswith("_PROFILE")]
    monkeypatch.setenv("PAYMENT_PROFILE", "production")
    with pytest.raises(RuntimeError, match="PAYMENT_PROFILE=production"):
        LocalIssuer()


def test_it_listens_on_loopback_and_its_secret_is_in_no_text(local: LocalIssuer) -> None:
    assert local.url.startswith("http://127.0.0.1:")
    published = str(local.documents())
    assert local.secret not in published
    assert '"d"' not in published
    assert local.secret not in repr(local)
