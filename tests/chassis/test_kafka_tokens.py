"""Tokens for OAUTHBEARER are asked for when one is needed, and errors of the issuer name the setting."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import conn
from aiokafka.errors import SaslAuthenticationFailed

from chassis import clock
from chassis.kafka import Cluster, NotLetInError
from chassis.kafka.cluster import Mechanism, Security
from chassis.kafka.tokens import ClientCredentials
from chassis.secret import Secret
from tests.support.tokens import CLIENT, CLIENT_SECRET, Issuer, issuing


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        yield made


@pytest.fixture
def cluster(issuer: Issuer) -> Cluster:
    return Cluster(
        "h:1",
        Security.SASL_SSL,
        Mechanism.OAUTHBEARER,
        token_url=issuer.url,
        client_id=CLIENT,
        client_secret=Secret(CLIENT_SECRET),
        prefix="ORDER",
    )


async def test_a_token_is_used_until_shortly_before_its_end(
    issuer: Issuer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    issuer.lasting_s, before = 100, issuer.issued
    provider = ClientCredentials(cluster)
    first = await provider.token()
    now += 79
    assert await provider.token() == first
    assert issuer.issued == before + 1
    now += 2
    await provider.token()
    assert issuer.issued == before + 2


async def test_a_token_that_was_refused_is_not_used_again(issuer: Issuer, cluster: Cluster) -> None:
    provider, before = ClientCredentials(cluster), issuer.issued
    await provider.token()
    provider.forget()
    await provider.token()
    assert issuer.issued == before + 2


async def test_an_issuer_that_does_not_answer_is_named(cluster: Cluster) -> None:
    gone = replace(cluster, token_url="http://127.0.0.1:1/token")
    with pytest.raises(NotLetInError) as error:
        await ClientCredentials(gone).token()
    assert str(error.value).startswith("ORDER_KAFKA_TOKEN_URL: http://127.0.0.1:1/token: no answer")


async def test_a_file_of_authorities_that_is_gone_is_named(
    cluster: Cluster, tmp_path: Path
) -> None:
    gone = replace(cluster, ca_file=str(tmp_path / "ca.pem"))
    with pytest.raises(NotLetInError) as error:
        await ClientCredentials(gone).token()
    assert str(error.value) == f"ORDER_KAFKA_CA_FILE: {gone.ca_file}: No such file or directory"


async def test_an_answer_to_a_token_is_a_refusal(cluster: Cluster) -> None:
    """As Kafka gives one; without any, the login is complete."""
    provider = ClientCredentials(cluster)
    welcome, refusal = (conn.OAuthAuthenticator(sasl_oauth_token_provider=provider) for _ in "12")
    sent, _ = await welcome.step(None)
    assert sent.startswith(b"n,,\x01auth=Bearer ")
    assert await welcome.step(b"") is None
    await refusal.step(None)
    with pytest.raises(SaslAuthenticationFailed, match="invalid_token"):
        await refusal.step(b'{"status":"invalid_token"}')
