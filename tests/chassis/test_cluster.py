"""How a client is let into Kafka, as the settings say it."""

import os
import ssl
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.kafka import Cluster
from chassis.kafka.cluster import Mechanism, Security
from chassis.process.kafka_settings import KafkaSettings
from chassis.secret import Secret
from saga_cli.stack.authority import Authority

SECRET = "hunter2"
SCRAM = Cluster("h:1", Security.SASL_SSL, user="order", password=Secret(SECRET))
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


@pytest.mark.parametrize("cluster", [Cluster("h:1"), SCRAM, TOKEN])
def test_a_process_that_is_given_the_variables_of_a_cluster_has_the_same(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = read(monkeypatch, cluster.variables("ORDER"))
    assert made == cluster
    assert made.setting("ca_file") == "ORDER_KAFKA_CA_FILE"


def test_so_has_one_with_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster("h:1", Security.SSL, **broken(tmp_path, "nothing"))
    assert read(monkeypatch, cluster.variables("ORDER")) == cluster
    for one in ("cert_file", "key_file"):
        half = replace(cluster, **{one: ""}).variables("ORDER")  # type: ignore[arg-type]
        assert refused(monkeypatch, half).keys() == {"kafka_key_file"}


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
    ],
)
def test_what_would_have_no_effect_is_refused(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = refused(monkeypatch, cluster.variables("ORDER"))
    assert all("no effect" in why for why in found.values())


def test_a_client_of_a_plain_cluster_is_told_its_brokers_alone() -> None:
    assert Cluster("h:1").options() == {"bootstrap_servers": "h:1"}


def broken(folder: Path, what: str) -> dict[str, Any]:
    """Files of a client of which one can't be used."""
    authority = Authority.at(folder / "authority")
    own, other = authority.issue("order"), authority.issue("other")
    files = {
        "ca_file": authority.ca_file,
        "cert_file": own.cert_file,
        "key_file": own.key_file,
    }
    match what:
        case "no authorities":
            files["ca_file"] = own.key_file
        case "no such certificate":
            files["cert_file"] = folder / "none"
        case "no certificate":
            files["cert_file"] = own.key_file
        case "another key":
            files["key_file"] = other.key_file
        case "a key with a passphrase":
            key = load_pem_private_key(own.key_file.read_bytes(), None)
            form, locked = PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase")
            own.key_file.write_bytes(key.private_bytes(Encoding.PEM, form, locked))
        case _:
            assert what == "nothing"
    return {name: str(file) for name, file in files.items()}


@pytest.mark.parametrize(
    ("what", "named", "why"),
    [
        ("no authorities", "kafka_ca_file", "no certificates (PEM)"),
        ("no such certificate", "kafka_cert_file", "No such file or directory"),
        ("no certificate", "kafka_cert_file", "no certificate (PEM)"),
        ("another key", "kafka_key_file", "not the certificate's key (PEM)"),
        ("a key with a passphrase", "kafka_key_file", "not the certificate's key (PEM)"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_at_the_start(
    what: str, named: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Cluster("h:1", Security.SSL, **broken(tmp_path, what)).variables("ORDER")
    found = refused(monkeypatch, given)
    assert why in found[named]


def test_a_broker_is_always_verified_and_for_its_host_name(tmp_path: Path) -> None:
    files = broken(tmp_path, "nothing")
    for cluster in (replace(SCRAM), Cluster("h:1", Security.SSL, **files)):
        context = cluster.options()["ssl_context"]
        assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


def test_what_an_authority_keeps_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    authority = Authority.at(tmp_path / "authority")
    authority.issue("order")
    modes = {stat.S_IMODE(file.stat().st_mode) for file in authority.folder.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700
    assert Authority.at(tmp_path / "authority").certificate == authority.certificate
