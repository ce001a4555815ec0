"""compose.yaml, deploy/postgres/init.sh and the CLI's own stack say the same."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from saga_cli.stack import binaries, kafka, servers
from saga_cli.topology import CONSOLE, PROCESSES, SERVICES, STORED, ServiceSpec

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
INIT = ROOT / "deploy" / "postgres" / "init.sh"
SERVER_NAMES = {"issuer", "kafka", "postgres", "redis"}
each_service = pytest.mark.parametrize("spec", PROCESSES, ids=lambda spec: spec.name)


def environment(spec: ServiceSpec) -> dict[str, str]:
    variables: dict[str, str] = COMPOSE[spec.name]["environment"]
    return variables


def settings_of(spec: ServiceSpec) -> Any:
    name = "ConsoleSettings" if spec is CONSOLE else "Settings"
    return getattr(import_module(f"{spec.module}.settings"), name)


def test_the_console_finds_each_service_where_it_listens() -> None:
    urls = json.loads(environment(CONSOLE)["CONSOLE_SERVICES"])
    assert urls == {spec.name: [f"http://{spec.name}:{spec.port}"] for spec in SERVICES}
    assert COMPOSE["console"]["build"]["target"] == "console"


def options_of(command: Sequence[str]) -> dict[str, str]:
    """The options of a Redis command line, without where it listens and keeps its data."""
    options = dict(zip(command[1::2], command[2::2], strict=True))
    return {n: v for n, v in options.items() if n not in {"--bind", "--port", "--dir"}}


def test_compose_runs_the_services_and_their_servers() -> None:
    migrations = {f"{spec.name}-migrate" for spec in STORED}
    assert set(COMPOSE) == {spec.name for spec in PROCESSES} | migrations | SERVER_NAMES


@each_service
def test_only_a_process_that_ends_before_the_service_starts_has_the_owners_password(
    spec: ServiceSpec,
) -> None:
    if not spec.has_database:
        return
    owner = f"{spec.prefix}_DATABASE_OWNER_URL"
    migration = COMPOSE[f"{spec.name}-migrate"]
    assert owner in migration["environment"]
    assert owner not in environment(spec)
    assert migration["command"] == ["python", "-m", spec.module, "migrate"]
    assert migration["restart"] == "no"
    waits = COMPOSE[spec.name]["depends_on"][f"{spec.name}-migrate"]
    assert waits == {"condition": "service_completed_successfully"}


@each_service
def test_variables_are_settings_and_none_that_is_required_is_missing(spec: ServiceSpec) -> None:
    settings = settings_of(spec)
    prefix: str = settings.model_config["env_prefix"]
    fields = settings.model_fields
    required = {prefix + n.upper() for n, field in fields.items() if field.is_required()}
    assert prefix == f"{spec.prefix}_"
    assert required <= set(environment(spec)) <= {prefix + name.upper() for name in fields}


@each_service
def test_ports_are_published_on_loopback(spec: ServiceSpec) -> None:
    assert COMPOSE[spec.name]["ports"] == [f"127.0.0.1:{spec.port}:{spec.port}"]


@each_service
def test_a_service_waits_for_just_the_servers_it_uses(spec: ServiceSpec) -> None:
    used = {"kafka"}
    used |= {"postgres"} if spec.has_database else set()
    used |= {"redis"} if spec.redis_database is not None else set()
    waits = {k: v for k, v in COMPOSE[spec.name]["depends_on"].items() if k in SERVER_NAMES}
    assert set(waits) == used
    assert all(how == {"condition": "service_healthy"} for how in waits.values())
    assert COMPOSE[spec.name]["build"]["args"] == {"SERVICE": spec.name}


@pytest.mark.parametrize("name", sorted(SERVER_NAMES - {"issuer"}))  # it keeps nothing
def test_servers_are_checked_keep_their_data_and_listen_on_loopback(name: str) -> None:
    server = COMPOSE[name]
    assert server["healthcheck"]["test"]
    assert server["volumes"][0].split(":")[0] == name
    assert all(port.startswith("127.0.0.1:") for port in server["ports"])


def test_each_database_has_its_role(tmp_path: Path) -> None:
    """init.sh is run, with a program in place of psql that notes what it is asked."""
    psql = tmp_path / "psql"
    psql.write_text(f'#!/bin/sh\nprintf "%s " "$@" >> {tmp_path}/asked; cat >> {tmp_path}/asked\n')
    psql.chmod(0o700)
    with_database = STORED
    passwords = {f"{spec.prefix}_DB_PASSWORD": f"s3cret of {spec.name}" for spec in with_database}
    passwords |= {f"{s.prefix}_DB_OWNER_PASSWORD": f"own of {s.name}" for s in with_database}
    assert passwords.keys() <= COMPOSE["postgres"]["environment"].keys()
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "POSTGRES_USER": "saga", **passwords}
    subprocess.run(["sh", str(INIT)], env=variables, check=True)
    asked = (tmp_path / "asked").read_text()
    own, password = r"\\getenv owner_password (\w+)", r"\\getenv password (\w+)"
    pattern = rf"-v database=(\w+) -v owner=(\w+) -v role=(\w+) {own}\n{password}\nCREATE"
    assert sorted(re.findall(pattern, asked)) == sorted(
        (s.database, s.owner, s.role, f"{s.prefix}_DB_OWNER_PASSWORD", f"{s.prefix}_DB_PASSWORD")
        for s in with_database
    )
    assert not [password for password in passwords.values() if password in asked]
    assert asked.count('REVOKE ALL ON DATABASE :"database" FROM PUBLIC') == len(with_database)


def test_redis_is_as_durable_as_the_embedded_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(binaries, "redis_server", lambda: "redis-server")
    embedded = servers.prepare_redis(tmp_path, 1)
    options = options_of(COMPOSE["redis"]["command"])
    assert options == options_of(embedded.command)
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"


def test_no_topic_is_made_by_accident() -> None:
    assert COMPOSE["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert "auto.create.topics.enable=false" in kafka.SETTINGS
