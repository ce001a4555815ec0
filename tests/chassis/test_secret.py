"""Secrets of the settings: from a variable or from a file that is read anew, and shown nowhere."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from chassis.errors import SecretError
from chassis.kafka import Cluster
from chassis.secret import Secret, SecretSettings, is_secret, overridden, secret_of
from payment_svc.settings import StripeSettings
from saga_cli import targets
from saga_cli.ops.ops_client import Directory
from saga_cli.terminal import CommandError
from saga_cli.topology import BY_NAME
from tests.chassis.test_start import GOOD, refused, settings_of

NAMED_AS_SECRET: Final = re.compile(r"(^|_)(password|secret|token|key)$")
TEXTS: Final = {
    "database_url": "postgresql://role:hidden@h/d",
    "database_owner_url": "postgresql://role:hidden@h/d",
    "redis_url": "redis://role:hidden@h/1",
}
"""What a setting takes that takes not every text; `hidden` is in all of them."""
LOGIN: Final = {"KAFKA_SECURITY": "SASL_SSL", "KAFKA_USER": "u"}
TOKEN: Final = {
    "KAFKA_MECHANISM": "OAUTHBEARER",
    "KAFKA_TOKEN_URL": "https://h",
    "KAFKA_CLIENT_ID": "c",
}
BESIDE: Final = {
    "database_password": {"DATABASE_URL": "postgresql://r@h/d"},
    "database_owner_password": {"DATABASE_OWNER_URL": "postgresql://o@h/d"},
    "redis_sentinel_password": {"REDIS_URL": "redis://points/1", "REDIS_SENTINELS": "h:26379"},
    "kafka_password": LOGIN,
    "kafka_client_secret": {"KAFKA_SECURITY": "SASL_SSL"} | TOKEN,
}
"""What has to be given for a secret to have an effect."""


def secrets_of(settings: type[BaseSettings]) -> list[str]:
    return [n for n, field in settings.model_fields.items() if is_secret(field.annotation)]


def classes(kind: type[BaseSettings] = BaseSettings) -> Iterator[type[BaseSettings]]:
    yield kind
    for one in kind.__subclasses__():
        yield from classes(one)


SETTINGS: Final[dict[str, type[BaseSettings]]] = {
    spec.prefix: settings_of(name) for name, spec in BY_NAME.items()
} | {
    "STRIPE": StripeSettings,
    "SAGA": targets.SagaSettings,
}
CASES: Final = [
    (prefix, name) for prefix, settings in SETTINGS.items() for name in secrets_of(settings)
]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith((*SETTINGS, "SAGA_"))]:
        monkeypatch.delenv(name)
    for prefix in SETTINGS:
        for name, value in GOOD.items():
            monkeypatch.setenv(f"{prefix}_{name}".upper(), value)
    monkeypatch.setenv("STRIPE_API_KEY", "sk_1")


def variable_of(prefix: str, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for other, value in BESIDE.get(name, {}).items():
        monkeypatch.setenv(f"{prefix}_{other}", value)
    return f"{prefix}_{name}".upper()


def read_from(prefix: str, name: str) -> Secret:
    settings: Any = SETTINGS[prefix]
    found = getattr(settings(), name)
    assert isinstance(found, Secret)
    return found


def test_whatever_is_called_as_a_secret_is_one() -> None:
    names = {
        f"{settings.__module__}.{settings.__name__}.{name}"
        for settings in classes()
        if not settings.__module__.startswith("tests.")
        for name, field in settings.model_fields.items()
        if NAMED_AS_SECRET.search(name)
        and not (is_secret(field.annotation) and issubclass(settings, SecretSettings))
    }
    assert names == set()
    assert {("ORDER", "database_url"), ("LOYALTY", "redis_url")} < set(CASES)


@pytest.mark.parametrize(("prefix", "name"), CASES)
def test_a_secret_is_read_from_its_file_each_time_and_shown_nowhere(
    prefix: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, text = tmp_path / "secret", TEXTS.get(name, "hidden")
    file.write_text(f"{text}\r\n\n")
    variable = variable_of(prefix, name, monkeypatch)
    monkeypatch.setenv(variable, "")
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    found = read_from(prefix, name)
    assert found.read() == text
    settings: Any = SETTINGS[prefix]
    shown = f"{settings()!r} {settings()} {settings().model_dump()} {settings().model_dump_json()}"
    assert "hidden" not in f"{shown} {found} {found!r}"
    file.write_text(f"{text}2")
    assert found.read() == f"{text}2"
    file.unlink()
    with pytest.raises(SecretError, match=f"{variable}_FILE can't be read"):
        found.read()


@pytest.mark.parametrize(("prefix", "name"), CASES)
def test_one_that_is_given_twice_is_refused(
    prefix: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, text = tmp_path / "secret", TEXTS.get(name, "hidden")
    file.write_text(text)
    variable = variable_of(prefix, name, monkeypatch)
    monkeypatch.setenv(variable, text)
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    with pytest.raises(ValidationError) as caught:
        read_from(prefix, name)
    assert f"given twice: {variable} and {variable}_FILE" in str(caught.value)
    assert "hidden" not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "can't be read: {file}: No such file or directory"),
        (b"", "{file} is empty"),
        (b"\n\n", "{file} is empty"),
        (b"hidden\nhidden", "{file}: it is one line of text, without control characters"),
        (b"hid\0den", "{file}: it is one line of text, without control characters"),
        (b"h" * 70_000, "{file}: it is one line of text, without control characters"),
        (b"hidden\xff", "{file} is not text in UTF-8"),
    ],
)
def test_a_file_that_holds_no_secret_ends_the_start_with_one_line_and_2(
    content: bytes | None,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("ORDER_DATABASE_PASSWORD_FILE", str(file))
    printed = refused("order", capsys)
    assert printed.startswith("order-svc: ORDER_DATABASE_PASSWORD: ")
    assert why.format(file=file) in printed
    assert "ORDER_DATABASE_PASSWORD_FILE" in printed
    assert "hidden" not in printed


def test_what_a_text_must_be_holds_for_that_of_a_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "secret"
    file.write_text("mysql://role:hidden@h/d")
    monkeypatch.delenv("ORDER_DATABASE_URL")
    monkeypatch.setenv("ORDER_DATABASE_URL_FILE", str(file))
    printed = refused("order", capsys)
    assert "ORDER_DATABASE_URL: Value error, no URL such as" in printed
    assert "hidden" not in printed


def test_stripes_secrets_in_files_may_be_wrong_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAYMENT_PROVIDER", "stripe")
    monkeypatch.delenv("STRIPE_API_KEY")
    monkeypatch.setenv("STRIPE_API_KEY_FILE", str(tmp_path / "none"))
    assert "STRIPE_API_KEY_FILE can't be read" in refused("payment", capsys)


def test_the_tools_variables_may_be_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, token = tmp_path / "url", tmp_path / "token"
    file.write_text("postgresql://saga:p@h:1/postgres\n")
    token.write_text("a-token\n")
    monkeypatch.setenv("SAGA_POSTGRES_URL_FILE", str(file))
    monkeypatch.setenv("SAGA_ORDER_URL", "http://h:1")
    monkeypatch.setenv("SAGA_OPERATOR_TOKEN_FILE", str(token))
    assert targets.given_stores()["SAGA_POSTGRES_URL"] == "postgresql://saga:p@h:1/postgres"
    assert Directory.found("order").token == "a-token"
    own = targets.Targets(Cluster("h:1"))
    monkeypatch.delenv("ORDER_DATABASE_URL")
    monkeypatch.setenv("ORDER_DATABASE_URL_FILE", str(file))
    assert own.store_of("order") == "postgresql://saga:p@h:1/postgres"
    token.unlink()
    with pytest.raises(CommandError, match="SAGA_OPERATOR_TOKEN_FILE can't be read"):
        Directory.found("order")
    monkeypatch.setenv("SAGA_POSTGRES_URL", "postgresql://saga:hidden@h:1/postgres")
    with pytest.raises(CommandError, match="given twice: SAGA_POSTGRES_URL and ") as caught:
        targets.given_stores()
    assert "hidden" not in str(caught.value)


def test_a_secret_in_a_file_takes_the_place_of_one_in_the_environment_of_a_child() -> None:
    outer = {"A": "1", "B_FILE": "/b", "C": "3", "PATH": "/bin"}
    assert overridden(outer, {"A_FILE": "/a", "B": "2"}) == {
        "A_FILE": "/a",
        "B": "2",
        "C": "3",
        "PATH": "/bin",
    }


def test_secrets_are_equal_where_their_texts_or_files_are() -> None:
    assert Secret("a") == Secret("a", variable="X") != Secret("b")
    assert Secret(file=Path("/a")) == Secret(file=Path("/a")) != Secret("a")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert not Secret()
    assert secret_of({}, "X") == Secret()


def test_a_traceback_of_a_wrong_setting_does_not_quote_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDER_DATABASE_URL", "mysql://role:hidden@h/d")
    monkeypatch.setenv("ORDER_DATABASE_PASSWORD", "hidden\thidden")
    with pytest.raises(ValidationError) as caught:
        settings_of("order")()  # type: ignore[call-arg]  # read from the environment
    assert "hidden" not in f"{caught.value} {caught.value!r} {caught.value.errors()}"
