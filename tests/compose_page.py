"""The processes of compose.yaml, made from their manifests; the servers around them are written by hand."""

import json
from pathlib import Path
from typing import Final

from chassis.kafka import Cluster
from saga_cli.stack.postgres import hba_rules
from saga_cli.topology import (
    CONSOLE,
    PROCESSES,
    SERVICES,
    STORED,
    Addresses,
    ServiceSpec,
    environment_of,
)
from tests.made_parts import between_marks

ROOT: Final = Path(__file__).parents[1]
COMPOSE: Final = ROOT / "compose.yaml"
HBA: Final = ROOT / "deploy" / "postgres" / "pg_hba.conf"
SECURED_HBA: Final = HBA.with_name("pg_hba.secure.conf")
SERVERS: Final = Addresses(
    Cluster("kafka:9092"),
    "postgresql://saga@postgres:5432/postgres",
    "redis://redis:6379",
    {s.role: f"${{{s.prefix}_DB_PASSWORD:-{s.name}-local}}" for s in STORED}
    | {s.owner: f"${{{s.prefix}_DB_OWNER_PASSWORD:-{s.name}-owner-local}}" for s in STORED},
    "${SAGA_AUTH_ISSUER:-http://127.0.0.1:8090/saga}",
)
JWKS: Final = "${SAGA_AUTH_JWKS_URL:-http://issuer:8090/saga/jwks}"
"""Where the issuer's keys are within: its URL is the one by which clients on this machine know it."""


def compose_file() -> str:
    """compose.yaml as it is, with its services as the manifests say they should be."""
    services = "\n".join(_service(spec) + _migration(spec) for spec in PROCESSES)
    return between_marks(COMPOSE, f"{_passwords()}\nservices:\n{services}\n")


def _passwords() -> str:
    lines = [
        f"  {spec.prefix}_{name}: {SERVERS.passwords[role]}\n"
        for spec in STORED
        for name, role in (("DB_PASSWORD", spec.role), ("DB_OWNER_PASSWORD", spec.owner))
    ]
    return "x-passwords: &passwords\n" + "".join(lines)


def _service(spec: ServiceSpec) -> str:
    within = {"HTTP_HOST": "0.0.0.0", "AUTH_JWKS_URL": JWKS}  # noqa: S104 - in its container
    changed = {f"{spec.prefix}_{name}": value for name, value in within.items()}
    variables = environment_of(spec, SERVERS, spec.port) | changed | services_of(spec)
    lines = [f"      {name}: {scalar(value)}\n" for name, value in variables.items()]
    used = ["kafka"]
    used += ["postgres"] if spec.has_database else []
    used += ["redis"] if spec.redis_database is not None else []
    waits = [f"      {server}: {{condition: service_healthy}}\n" for server in used]
    if spec.has_database:
        waits.append(f"      {spec.name}-migrate: {{condition: service_completed_successfully}}\n")
    return (
        f"  {spec.name}:\n"
        "    <<: *service\n"
        f"    build: {{{_build(spec)}}}\n"
        f"    image: choreographed-checkout/{spec.name}\n"
        f"    environment:\n{''.join(lines)}"
        f'    ports: ["127.0.0.1:{spec.port}:{spec.port}"]\n'
        f"    depends_on:\n{''.join(waits)}"
    )


def _migration(spec: ServiceSpec) -> str:
    """The one process that has the owner's password: it ends when the schema is at its newest."""
    if not spec.has_database:
        return ""
    given = environment_of(spec, SERVERS, spec.port)
    own = {f"{spec.prefix}_DATABASE_OWNER_URL": SERVERS.owner_url(spec)}
    variables = {name: text for name, text in given.items() if "_HTTP_" not in name} | own
    lines = [f"      {name}: {scalar(value)}\n" for name, value in variables.items()]
    return (
        f"\n  {spec.name}-migrate:\n"
        "    <<: *service\n"
        f"    build: {{{_build(spec)}}}\n"
        f"    image: choreographed-checkout/{spec.name}\n"
        f"    command: [python, -m, {spec.module}, migrate]\n"
        '    restart: "no"\n'
        f"    environment:\n{''.join(lines)}"
        "    depends_on:\n      postgres: {condition: service_healthy}\n"
    )


def _build(spec: ServiceSpec) -> str:
    target = f"target: {spec.name}, " if spec is CONSOLE else ""
    return f"context: ., {target}args: {{SERVICE: {spec.name}}}"


def services_of(spec: ServiceSpec) -> dict[str, str]:
    """Where the console finds the services within; nothing for a service."""
    if spec is not CONSOLE:
        return {}
    urls = {each.name: [f"http://{each.name}:{each.port}"] for each in SERVICES}
    return {f"{spec.prefix}_SERVICES": json.dumps(urls)}


def hba_file() -> str:
    """deploy/postgres/pg_hba.conf: whom PostgreSQL lets in, and to which database."""
    rules = hba_rules("host", "all")
    return between_marks(HBA, rules)


def secured_hba_file() -> str:
    """The same, for connections with TLS alone."""
    return between_marks(SECURED_HBA, hba_rules("hostssl", "all"))


def scalar(value: str) -> str:
    """A number is quoted, as variables are text, and so is JSON."""
    if value.startswith("{"):
        return f"'{value}'"
    return f'"{value}"' if value.isdecimal() else value
