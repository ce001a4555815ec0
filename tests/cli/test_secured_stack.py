"""What a secured stack tells its services, and how."""

import stat
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast, get_args
from urllib.parse import urlsplit

import pytest

from chassis.kafka import Cluster
from chassis.secret import Secret
from saga_cli.stack.secured import SECRETS, in_files
from saga_cli.stack.servers import Servers
from saga_cli.stack.supervisor import print_security
from saga_cli.topology import (
    ADMIN,
    BY_NAME,
    SERVICES,
    USERS,
    Addresses,
    ServiceSpec,
    addresses_of,
    environment_of,
)

PLACES: Final = ("postgresql://saga:key@h:5432/postgres", "redis://h:6379")
each_service = pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)


@pytest.fixture
def found(tmp_path: Path) -> Addresses:
    return addresses_of(Cluster("h:9092"), *PLACES, tmp_path)


def test_the_addresses_of_a_stack_are_the_same_when_they_are_read_again(found: Addresses) -> None:
    """As the state file has them, whose URLs are the administrator's."""
    again = addresses_of(
        Cluster(found.kafka.bootstrap), found.postgres_url, found.redis_url, found.secured
    )
    assert (again.kafka, again.postgres_url, again.redis_url, again.passwords) == (
        *(found.kafka, found.postgres_url, found.redis_url, found.passwords),
    )


def test_each_user_has_a_password_of_its_own_on_each_server(found: Addresses) -> None:
    assert len({*found.passwords.values()}) == len(found.passwords)
    logins = {user: found.kafka_of(user).password.read() for user in USERS}
    assert len({*logins.values()}) == len(USERS)
    assert found.kafka_of(ADMIN) == found.kafka


@each_service
def test_a_service_is_told_its_own_users_and_no_others(found: Addresses, spec: ServiceSpec) -> None:
    variables = environment_of(spec, found, 1)
    assert variables[f"{spec.prefix}_KAFKA_USER"] == spec.name
    assert variables[f"{spec.prefix}_KAFKA_SECURITY"] == "SASL_SSL"
    assert variables[f"{spec.prefix}_KAFKA_CA_FILE"] == str(found.secured) + "/tls/ca.crt"
    if spec.has_database:
        url = urlsplit(variables[f"{spec.prefix}_DATABASE_URL"])
        assert (url.username, "sslmode=verify-full" in url.query) == (spec.role, True)
    if spec.redis_database is not None:
        assert urlsplit(variables[f"{spec.prefix}_REDIS_URL"]).username == spec.name
    own = {password for name, password in found.passwords.items() if spec.name in name}
    others = {*found.passwords.values()} - own
    assert not any(password in text for password in others for text in variables.values())


@each_service
def test_every_secret_of_a_service_goes_by_a_file_of_its_owner(
    found: Addresses, spec: ServiceSpec, tmp_path: Path
) -> None:
    variables = environment_of(spec, found, 1)
    given = in_files(tmp_path / "secrets", variables)
    secrets = {name for name in variables if name.endswith(SECRETS)}
    assert given.keys() == {f"{n}_FILE" if n in secrets else n for n in variables}
    for name in secrets:
        file = Path(given[f"{name}_FILE"])
        assert file.read_text() == variables[name]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(p in text for p in found.passwords.values() for text in given.values())


def test_secrets_are_known_by_the_ends_of_their_names() -> None:
    """Of all settings that are secrets, and of no other."""
    for name, spec in BY_NAME.items():
        fields: dict[str, Any] = import_module(f"{spec.module}.settings").Settings.model_fields
        secret = {f.upper() for f, info in fields.items() if _is_secret(info.annotation)}
        assert {f.upper() for f in fields if f"_{f}".upper().endswith(SECRETS)} == secret, name


def _is_secret(annotation: Any) -> bool:
    return annotation is Secret or any(map(_is_secret, get_args(annotation)))


def test_without_it_all_are_let_in_as_before() -> None:
    plain = addresses_of(Cluster("h:9092"), *PLACES)
    for spec in SERVICES:
        variables = environment_of(spec, plain, 1)
        assert variables[f"{spec.prefix}_KAFKA_BOOTSTRAP"] == "h:9092"
        assert f"{spec.prefix}_KAFKA_USER" not in variables
    assert environment_of(BY_NAME["loyalty"], plain, 1)["LOYALTY_REDIS_URL"] == "redis://h:6379/0"


@pytest.mark.parametrize(
    ("redis", "shown"),
    [
        ("redis://h:6379", "without TLS, as no server with it was found"),
        ("rediss://h:6379", "and TLS"),
    ],
)
def test_a_redis_without_tls_is_named_in_one_line(
    redis: str, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses = addresses_of(Cluster("h:9092"), PLACES[0], redis, tmp_path)
    print_security(cast("Servers", SimpleNamespace(addresses=addresses)))
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "Redis" in line)
    assert line.strip() == f"Redis: a user for each service, {shown}"
