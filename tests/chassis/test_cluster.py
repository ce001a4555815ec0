"""How a client is let into Kafka, as the settings say it."""

import os
from dataclasses import replace

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.kafka import Cluster
from chassis.kafka.cluster import Mechanism, Security
from chassis.process.settings import KafkaSettings
from chassis.secret import Secret

SECRET = "hunter2"
SCRAM = Cluster(
    "h:1", Security.SASL_SSL, user="order", password=Secret(SECRET), ca_file="/etc/ca.pem"
)
TOKEN = Cluster(
    "h:1,h:2",
    Security.SASL_SSL,
    Mechanism.OAUTHBEARER,
    token_url="https://idp/token",
    client_id="order",
    client_secret=Secret(SECRET),
    scope="kafka",
)
TLS = Cluster("h:1", Security.SSL, cert_file="/etc/c.pem", key_file="/etc/k.pem")


class Settings(KafkaSettings, BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ORDER_")


def read(patch: pytest.MonkeyPatch, variables: dict[str, str]) -> Cluster:
    for name in [name for name in os.environ if name.startswith("ORDER_")]:
        patch.delenv(name)
    for name, value in variables.items():
        patch.setenv(name, value)
    return Settings().kafka  # type: ignore[call-arg]  # read from the environment


def refused(patch: pytest.MonkeyPatch, variables: dict[str, str]) -> dict[str, str]:
    with pytest.raises(ValidationError) as error:
        read(patch, variables)
    assert SECRET not in str(error.value)
    return {str(e["loc"][0]): e["msg"] for e in error.value.errors()}


@pytest.mark.parametrize("cluster", [Cluster("h:1"), SCRAM, TOKEN, TLS])
def test_a_process_that_is_given_the_variables_of_a_cluster_has_the_same(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = read(monkeypatch, cluster.variables("ORDER"))
    assert made == cluster
    assert made.setting("ca_file") == "ORDER_KAFKA_CA_FILE"


@pytest.mark.parametrize("cluster", [SCRAM, TOKEN])
def test_what_is_printed_of_a_cluster_has_no_secret(cluster: Cluster) -> None:
    assert SECRET not in f"{cluster!r} {cluster}"


@pytest.mark.parametrize(
    ("cluster", "without"),
    [
        (SCRAM, {"user": ""}),
        (SCRAM, {"password": Secret("")}),
        (TOKEN, {"token_url": ""}),
        (TOKEN, {"client_id": ""}),
        (TOKEN, {"client_secret": Secret("")}),
        (TLS, {"key_file": ""}),
    ],
)
def test_what_a_login_needs_is_named_where_it_is_missing(
    cluster: Cluster, without: dict[str, str | Secret], monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = without
    found = refused(monkeypatch, replace(cluster, **without).variables("ORDER"))  # type: ignore[arg-type]
    assert "needed" in found[f"kafka_{name}"]
    assert len(found) == 1


@pytest.mark.parametrize(
    "cluster",
    [
        replace(SCRAM, security=Security.PLAINTEXT),
        replace(SCRAM, security=Security.SSL),
        replace(TOKEN, mechanism=Mechanism.PLAIN, user="u", password=Secret("p")),
        replace(TLS, security=Security.PLAINTEXT),
        replace(TLS, cert_file=""),
    ],
)
def test_what_would_have_no_effect_is_refused(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = refused(monkeypatch, cluster.variables("ORDER"))
    assert all("no effect" in why for why in found.values())


def test_a_client_of_a_plain_cluster_is_told_its_brokers_alone() -> None:
    assert Cluster("h:1").options() == {"bootstrap_servers": "h:1"}
