"""How a service's process begins, or says why it does not."""

import os
import socket
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

from chassis.errors import CannotStartError
from chassis.http import bound, listen
from chassis.kafka.cluster import LOGIN_FIELDS
from chassis.postgres import PostgresDatabase, migrations
from chassis.process import runtime
from chassis.process.settings import ALL_FAST_PATHS, FastPath, ServiceSettings, TracingSettings
from chassis.secret import Secret
from payment_svc.settings import StripeSettings
from saga_cli.topology import BY_NAME

URL = "postgresql://r:p@h:5432/d"
WRONG: dict[str, tuple[str, ...]] = {
    "kafka_bootstrap": ("", "nonsense", "h:0", "h:99999", "h:9092,", "kafka://h:9092", "a b:1"),
    "kafka_security": ("", "x", "SASL_PLAINTEXT", "SSL,SASL_SSL"),
    "kafka_mechanism": ("", "x", "GSSAPI"),
    "kafka_token_url": (
        *("nonsense", "http://idp.example/token", "HTTP://idp.example/token"),
        *("http://127.evil.example/token", "http://localhost.evil.example/", "http://[::2]/token"),
        "https://h/token",
    ),
    **dict.fromkeys((f"kafka_{name}" for name in sorted(LOGIN_FIELDS - {"token_url"})), ("x",)),
    "http_host": ("", "a b"),
    "http_port": ("", "x", "-1", "65536", "8000.5"),
    "http_request_line_max_bytes": ("", "63", "1048577", "1e3x"),
    "http_headers_max_bytes": ("0", "-1"),
    "http_headers_max": ("0", "10001"),
    **dict.fromkeys(
        (f"http_{what}_timeout_s" for what in ("first_byte", "head", "body", "idle", "write")),
        ("", "0", "-1", "nan", "inf", "3601"),
    ),
    "http_connections_max": ("0", "x"),
    "http_connections_per_address_max": ("0", "x"),
    "http_trusted": ("", "nonsense", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.1,", "none,::1"),
    "http_drain_s": ("-1", "nan", "601"),
    "log_level": ("", "nonsense", "10"),
    "profile": ("", "prod"),
    "auth": ("", "none", "OFF"),
    "auth_issuer": ("", "nonsense", "issuer.example.com", "ftp://h", "https://"),
    "auth_audience": ("",),
    "auth_jwks_url": ("", "/jwks"),
    "auth_subject_claim": ("", 'a"b', "a b"),
    "auth_clock_skew_s": ("", "-1", "301", "nan"),
    "http_rate_per_subject": ("", "100", "0/60", "100/0", "1.5/60", "-1/60", "9999999999/1"),
    "http_rate_per_address": ("", "100/60/1", "x/y"),
    "http_cors_origins": ("*", "null", "shop.example.com", "https://h/path", "https://a,", "https://u@h"),
    "http_admin_port": ("", "x", "-1", "0", "65536", "on"),
    "fast_paths": (
        "", " ", "x", "STATE-CACHE", "state_cache", "state-cache,", "all,http", "none,http",
        "state-cache,nonsense", '["http"]',
    ),
    "batch_every_ms": ("", "-1", "1001", "2.5", "x"),
    "send_every_ms": ("", "-1", "1001", "0.5", "x"),
    "outbox_look_ms": ("", "19", "1001", "50.5", "x"),
    "send_timeout_s": ("", "0.9", "121", "nan", "x"),
    "session_timeout_s": ("", "0.9", "11", "nan", "x"),
    "topic_layout": ("", " ", "x", "LANES", "lanes,moving", "order.events"),
    "trace_statements": ("", "maybe"),
    "outbox_keep_days": ("-1", "x", "36501", "99999999999", "1.5"),
    "inbox_keep_days": ("0", "99999999999"),
    "database_url": (
        "", "nonsense", "h/d", "mysql://h/d", "postgresql://", "postgresql://h:99999/d",
        "postgresql://h", "postgresql://[h/d", "postgresql+asyncpg://h/d", f"{URL} {URL}",
        "postgresql://a,/d", "postgresql://a,b:0/d", "postgresql://r:p%zz@h/d",
    ),
    "database_password": ("a\nb", "second"),
    "database_ca_file": ("", "/none", "/"),
    "database_cert_file": ("", "/none"),
    "database_key_file": ("/none", __file__),
    "database_owner_url": ("", "nonsense", "postgresql://h"),
    "database_owner_password": ("a\nb", "of no URL"),
    "redis_password": ("a\nb",),
    "redis_ca_file": ("", "/none", __file__),
    "redis_sentinels": ("", "h", "h:0", "h:1,", "h:26379"),
    "redis_sentinel_password": ("a\nb", "of none"),
    "redis_sentinel_user": ("a b", "without a password"),
    "redis_url": ("", "nonsense", "http://h", "redis://", "redis://h:99999/0", "redis://h/x"),
    "patience_s": ("0", "-1", "nan", "inf", "1e12"),
    "slow_above_s": ("-1", "nan", "inf"),
    "acknowledge": ("", "Never"),
    "event_streams_max": ("-1", "100001", "x"),
    "example_page": ("", "maybe"),
    "provider": ("", "paypal"),
    "fee_bps": ("-1", "10001"),
    "fee_fixed_minor": ("-1", "1e30"),
    "fee_fixed_by_currency": ("", "x", "[]", '{"EU": 1}', '{"EUR": -1}', '{"EUR": 1e30}'),
    "minor_per_point": ("", "x", "[]", '{"EU": 1}', '{"EUR": 0}'),
    "provider_concurrency": ("0", "x", "1000000"),
    "provider_timeout_s": ("0", "nan", "inf"),
    "restocking_bps": ("-1", "10001"),
    "dispatch_after_s": ("-1", "nan", "inf", "1e12"),
    "carrier_script": ("/", "/none/there/at/all"),
}  # fmt: skip
"""What each setting refuses, by its name without the prefix."""
GOOD = {
    "kafka_bootstrap": "h:9092",
    "auth_issuer": "http://127.0.0.1:1",
    "database_url": URL,
    "redis_url": "redis://h:6379/1",
}


def settings_of(service: str) -> type[ServiceSettings]:
    found: type[ServiceSettings] = import_module(f"{BY_NAME[service].module}.settings").Settings
    return found


CASES = [
    (service, name, value)
    for service in BY_NAME
    for name in settings_of(service).model_fields
    for value in WRONG.get(name, ("",))
]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    prefixes = ("STRIPE_", "OTEL_", *(f"{spec.prefix}_" for spec in BY_NAME.values()))
    for name in [name for name in os.environ if name.startswith(prefixes)]:
        monkeypatch.delenv(name)
    for spec in BY_NAME.values():
        for name, value in GOOD.items():
            monkeypatch.setenv(f"{spec.prefix}_{name}".upper(), value)


async def _never(settings: Any) -> None:
    raise AssertionError(settings)


def refused(service: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        runtime.start(settings_of(service), service, _never)
    printed = capsys.readouterr().err
    assert (ended.value.code, printed.count("\n")) == (2, 1)
    return printed


@pytest.mark.parametrize(("service", "name", "value"), CASES)
def test_a_setting_that_makes_no_sense_is_one_line_and_exit_code_2(
    service: str,
    name: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A setting that is not listed above is refused nothing, and so fails here."""
    variable = f"{service}_{name}".upper()
    monkeypatch.setenv(variable, value)
    printed = refused(service, capsys)
    assert printed.startswith(f"{service}-svc: {variable}: ")
    assert "r:p@" not in printed  # a password


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://h:4317"),
        ("STRIPE_API_BASE", "nonsense"),
        ("STRIPE_API_BASE", "https://h:99999"),
        ("STRIPE_API_KEY", ""),
    ],
)
def test_so_is_one_of_a_provider_or_of_traces(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAYMENT_PROVIDER", "stripe")
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_1")
    monkeypatch.setenv(variable, value)
    assert f"{variable}: " in refused("payment", capsys)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kafka_bootstrap", "a:1, b:2,[::1]:65535"),
        ("database_url", "postgres://u:p%40ss@[::1]/d?sslmode=require"),
        ("database_url", "postgresql://u@a:1,b/d"),
        ("log_level", "debug"),
        ("http_port", "0"),
    ],
)
def test_what_makes_sense_is_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"ORDER_{name}".upper(), value)
    taken: Any = settings_of("order")
    taken = taken()
    found = getattr(taken, name)
    assert str(found.read() if isinstance(found, Secret) else found).lower() == value


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        (None, ALL_FAST_PATHS),
        ("all", ALL_FAST_PATHS),
        ("none", frozenset()),
        *((path.value, {path}) for path in FastPath),
        ("state-cache, http", {FastPath.STATE_CACHE, FastPath.HTTP}),
        (",".join(FastPath), ALL_FAST_PATHS),
    ],
)
@pytest.mark.parametrize("service", BY_NAME)
def test_fast_paths_are_all_none_or_those_that_are_named(
    service: str, value: str | None, paths: set[FastPath], monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv(f"{service}_fast_paths".upper(), value)
    assert settings_of(service)().fast_paths == paths  # type: ignore[call-arg]  # from its environment


def test_a_fast_path_that_is_not_there_is_told_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDER_FAST_PATHS", "state-cache,quick")
    printed = refused("order", capsys)
    assert "'quick'" in printed
    assert all(path.value in printed for path in FastPath)


def test_each_refused_value_belongs_to_a_setting() -> None:
    known = {name for service in BY_NAME for name in settings_of(service).model_fields}
    assert set(WRONG) == known
    assert set(TracingSettings.model_fields) == {"endpoint"}
    assert set(StripeSettings.model_fields) == {"api_key", "api_base", "webhook_secret"}


STARTS = """
from chassis.process import runtime
from chassis.errors import CannotStartError
from order_svc.settings import Settings

async def main(settings):
    raise {raised}

runtime.start(Settings, "order", main)
"""


@pytest.mark.long(2)
@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        ("CannotStartError('no such database', 2)", 2, '"error": "no such database"'),
        ("CannotStartError('a port is taken')", 1, '"event": "not_started"'),
        ("ZeroDivisionError('by zero')", 1, "ZeroDivisionError: by zero"),
    ],
)
def test_what_keeps_a_service_from_starting_is_one_line_of_its_log(
    raised: str, code: int, says: str
) -> None:
    command = [sys.executable, "-c", STARTS.format(raised=raised)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (code, 1)
    assert says in ended.stderr


async def test_a_database_that_does_not_answer_is_one_line() -> None:
    folder = migrations_of("order")
    with pytest.raises(CannotStartError, match="does not answer") as ended:
        await migrations.migrate(folder, PostgresDatabase.at("postgresql://u:p@127.0.0.1:1/d"))
    assert ended.value.code == 1


def migrations_of(service: str) -> Any:
    module = import_module(BY_NAME[service].module)
    return runtime.migrations_of(str(module.__file__))


def test_a_taken_port_is_found_before_anything_is_begun() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(CannotStartError, match=f"can't listen on 127.0.0.1:{port}: Address"),
            bound("127.0.0.1", port),
        ):
            pass


def test_of_two_that_bound_a_port_one_gets_it() -> None:
    with bound("127.0.0.1", 0) as first:
        port = first[0].getsockname()[1]
        with bound("127.0.0.1", port) as second:
            assert listen(first, 1) == port
            with pytest.raises(CannotStartError, match="in use"):
                listen(second, 1)


@pytest.mark.parametrize("host", ["203.0.113.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(CannotStartError, match=host), bound(host, 0):
        pass
