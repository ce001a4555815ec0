"""The services of compose.yaml, made from their manifests; the servers around them are written by hand."""

from pathlib import Path
from typing import Final

from chassis.kafka import Cluster
from saga_cli.topology import SERVICES, Addresses, ServiceSpec, environment_of
from tests.made_parts import between_marks

COMPOSE: Final = Path(__file__).parents[1] / "compose.yaml"
SERVERS: Final = Addresses(
    Cluster("kafka:9092"),
    "postgresql://saga@postgres:5432/postgres",
    "redis://redis:6379",
    {s.role: f"${{{s.prefix}_DB_PASSWORD:-{s.name}-local}}" for s in SERVICES},
    "${SAGA_AUTH_ISSUER:-http://127.0.0.1:8090/saga}",
)
JWKS: Final = "${SAGA_AUTH_JWKS_URL:-http://issuer:8090/saga/jwks}"
"""Where the issuer's keys are within: its URL is the one by which clients on this machine know it."""


def compose_file() -> str:
    """compose.yaml as it is, with its services as the manifests say they should be."""
    services = "\n".join(_service(spec) for spec in SERVICES)
    return between_marks(COMPOSE, f"{_passwords()}\nservices:\n{services}\n")


def _passwords() -> str:
    lines = [
        f"  {spec.prefix}_DB_PASSWORD: {SERVERS.passwords[spec.role]}\n"
        for spec in SERVICES
        if spec.has_database
    ]
    return "x-passwords: &passwords\n" + "".join(lines)


def _service(spec: ServiceSpec) -> str:
    within = {"HTTP_HOST": "0.0.0.0", "AUTH_JWKS_URL": JWKS}  # noqa: S104 - in its container
    changed = {f"{spec.prefix}_{name}": value for name, value in within.items()}
    variables = environment_of(spec, SERVERS, spec.port) | changed
    lines = [f"      {name}: {_scalar(value)}\n" for name, value in variables.items()]
    used = ["kafka"]
    used += ["postgres"] if spec.has_database else []
    used += ["redis"] if spec.redis_database is not None else []
    waits = [f"      {server}: {{condition: service_healthy}}\n" for server in used]
    return (
        f"  {spec.name}:\n"
        "    <<: *service\n"
        f"    build: {{context: ., args: {{SERVICE: {spec.name}}}}}\n"
        f"    image: choreographed-checkout/{spec.name}\n"
        f"    environment:\n{''.join(lines)}"
        f'    ports: ["127.0.0.1:{spec.port}:{spec.port}"]\n'
        f"    depends_on:\n{''.join(waits)}"
    )


def _scalar(value: str) -> str:
    """A number is quoted: variables are text."""
    return f'"{value}"' if value.isdecimal() else value
