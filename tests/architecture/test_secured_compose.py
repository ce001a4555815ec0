"""compose.secure.yaml, laid over compose.yaml: each secret is a file, and who needs none has none."""

import stat
from pathlib import Path
from typing import Any, Final

import pytest

from saga_cli.stack import mounted
from saga_cli.topology import PROCESSES, SERVICES, ServiceSpec
from tests.architecture.test_tidy import ROOT
from tests.architecture.test_topology import COMPOSE, options_of, settings_of
from tests.secured_compose_page import SECURED
from tests.support.secured_compose import merged

PRIVATE: Final = ("tls/ca.key", "tls/ca.pem", mounted.TOOLS)
"""What no container gets: who has it is the authority, or the administrator."""
each_service = pytest.mark.parametrize("spec", PROCESSES, ids=lambda spec: spec.name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made") / "secrets"
    mounted.make(made)
    return made


@pytest.fixture(scope="module")
def system(folder: Path) -> dict[str, Any]:
    return merged(folder)


def given(system: dict[str, Any], name: str) -> set[str]:
    """The secrets of a container."""
    return {each["source"] for each in system["services"][name].get("secrets", ())}


def test_each_secret_is_a_file_that_a_container_may_read_and_others_may_not(
    system: dict[str, Any], folder: Path
) -> None:
    files = {name: Path(secret["file"]) for name, secret in system["secrets"].items()}
    assert {name for name in system["services"] if given(system, name)} >= {"order", "kafka"}
    used = set().union(*(given(system, name) for name in system["services"]))
    assert used == files.keys()
    assert {file.is_relative_to(folder) and file.is_file() for file in files.values()} == {True}
    modes = {name: stat.S_IMODE(file.stat().st_mode) for name, file in files.items()}
    assert modes.pop(mounted.KAFKA_SETTINGS) == 0o644
    assert set(modes.values()) == {0o444}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    private = [folder / name for name in PRIVATE] + [*(folder / "tools").iterdir()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}
    assert not {*private} & {*files.values()}


def test_no_secret_is_in_what_compose_knows(system: dict[str, Any], folder: Path) -> None:
    text = str(system["services"])
    secrets = [f.read_text() for f in folder.iterdir() if f.suffix in {".password", ".secret"}]
    assert len(secrets) > 2 * len(SERVICES)
    assert not [secret for secret in secrets if secret in text]
    assert "-local" not in text, "a password of the plain system"
    for container in system["services"].values():
        named = {n for n in container.get("environment") or {} if "PASSWORD" in n}
        assert {name.endswith("_FILE") for name in named} <= {True}


@each_service
def test_a_service_has_its_own_passwords_and_no_others(
    system: dict[str, Any], spec: ServiceSpec
) -> None:
    own = {"ca.crt", f"kafka-{spec.name}.password"}
    own |= {f"{spec.role}.password"} if spec.has_database else set()
    own |= {f"redis-{spec.name}.password"} if spec.redis_database is not None else set()
    assert given(system, spec.name) == own
    if spec.has_database:
        migration = given(system, f"{spec.name}-migrate")
        assert migration == {"ca.crt", f"{spec.owner}.password"}


@each_service
def test_variables_are_settings_and_ask_for_tls(system: dict[str, Any], spec: ServiceSpec) -> None:
    settings = settings_of(spec)
    variables: dict[str, str] = system["services"][spec.name]["environment"]
    fields = {f"{spec.prefix}_{name.upper()}": f for name, f in settings.model_fields.items()}
    assert {name.removesuffix("_FILE") for name in variables.keys() - fields.keys()} <= {*fields}
    assert {name for name, field in fields.items() if field.is_required()} <= variables.keys()
    assert variables[f"{spec.prefix}_KAFKA_SECURITY"] == "SASL_SSL"
    database = variables.get(f"{spec.prefix}_DATABASE_URL", "sslmode=verify-full")
    assert "sslmode=verify-full" in database
    assert variables.get(f"{spec.prefix}_REDIS_URL", "rediss://").startswith("rediss://")


def test_no_server_has_a_port_without_tls(system: dict[str, Any], folder: Path) -> None:
    lines = (folder / mounted.KAFKA_SETTINGS).read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    protocols = dict(p.split(":") for p in settings["listener.security.protocol.map"].split(","))
    assert {name.split(":")[0] for name in settings["listeners"].split(",")} == protocols.keys()
    assert set(protocols.values()) == {"SSL", "SASL_SSL"}
    command = system["services"]["redis"]["command"]
    assert command[command.index("--port") + 1] == "0"
    assert options_of(command)["--tls-port"] == "6379"
    assert options_of(command).items() >= options_of(COMPOSE["redis"]["command"]).items()
    postgres = system["services"]["postgres"]
    rules = next(v["source"] for v in postgres["volumes"] if "pg_hba" in v["target"])
    words = [line.split()[0] for line in Path(rules).read_text().splitlines() if line[0] != "#"]
    assert set(words) == {"local", "hostssl"}
    assert {"ssl=on", f"hba_file={_target(postgres, rules)}"} <= set(postgres["command"])


def _target(container: dict[str, Any], source: str) -> str:
    (target,) = (v["target"] for v in container["volumes"] if v.get("source") == source)
    return str(target)


def test_it_is_confined_as_the_plain_system_and_has_data_of_its_own(
    system: dict[str, Any],
) -> None:
    assert system["services"].keys() == COMPOSE.keys()
    for name, container in system["services"].items():
        assert container["cap_drop"] == ["ALL"]
        assert container["security_opt"] == ["no-new-privileges:true"]
        assert container.get("read_only", False) is COMPOSE[name].get("read_only", name != "kafka")
        published = [f"{p['host_ip']}:{p['published']}" for p in container.get("ports", ())]
        plain = [text.rpartition(":")[0] for text in COMPOSE[name].get("ports", ())]
        assert published == plain
    assert system["name"] == "choreographed-checkout-secure"
    assert {volume["name"] for volume in system["volumes"].values()} == {
        f"{system['name']}_{name}" for name in ("kafka", "postgres", "redis")
    }


def test_secrets_are_neither_committed_nor_in_an_image() -> None:
    assert ".secrets/" in (ROOT / ".gitignore").read_text().split()
    ignored, *kept = (ROOT / ".dockerignore").read_text().split()
    assert ignored == "*"
    assert not [line for line in kept if "secrets" in line]
    assert "${SAGA_SECRETS:-./.secrets}" in SECURED.read_text()
