"""compose.secure.yaml: what is laid over compose.yaml for TLS, logins and rights."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from saga_cli.stack import mounted, redis_acl
from saga_cli.stack.postgres import ADMIN, options_of, with_tls
from saga_cli.stack.secured import redis_options
from saga_cli.topology import PROCESSES, STORED, ServiceSpec, environment_of
from tests.compose_page import (
    HBA,
    JWKS,
    ROOT,
    SECURED_HBA,
    SERVERS,
    compose_file,
    scalar,
    services_of,
)
from tests.made_parts import between_marks

SECURED: Final = ROOT / "compose.secure.yaml"
PLACES: Final = replace(mounted.NAMED, issuer=SERVERS.issuer)
FOLDER: Final = "${SAGA_SECRETS:-./.secrets}"
POSTGRES_KEY: Final = "/tmp/postgres.key"  # noqa: S108 - the container's own, in memory
"""PostgreSQL takes a key that is its own user's alone: a copy that is made at the start."""
KAFKA_SETTINGS: Final = "/mnt/shared/config/server.properties"
"""Where the image looks for settings that take the place of its own."""
NOT_OF_A_MIGRATION: Final = ("_HTTP_", "_KAFKA_", "_REDIS_PASSWORD", "_DATABASE_PASSWORD")
USED: Final = re.compile(rf"{mounted.MOUNTED}/([\w./-]*\w)")


def secured_compose_file() -> str:
    """compose.secure.yaml as it is, with its containers as the manifests and the commands say."""
    plain = yaml.safe_load(compose_file())["services"]
    containers = [part for spec in PROCESSES for part in (_service(spec), _migration(spec))]
    containers += [_kafka(), _postgres(plain["postgres"]), _redis(plain["redis"])]
    text = "\nservices:\n" + "\n".join(filter(None, containers))
    return between_marks(SECURED, f"{text}\n{_secrets(text)}")


def _service(spec: ServiceSpec) -> str:
    own = {f"{spec.prefix}_HTTP_HOST": "0.0.0.0", f"{spec.prefix}_AUTH_JWKS_URL": JWKS}  # noqa: S104 - in its container
    variables = mounted.by_file(environment_of(spec, PLACES, spec.port))
    return _container(spec.name, environment=variables | own | services_of(spec))


def _migration(spec: ServiceSpec) -> str:
    """The one process that has the owner's password; it has no other."""
    if not spec.has_database:
        return ""
    owner = {f"{spec.prefix}_DATABASE_OWNER_URL": PLACES.owner_url(spec)}
    given = mounted.by_file(environment_of(spec, PLACES, spec.port) | owner)
    variables = {
        name: text
        for name, text in given.items()
        if name.endswith("_KAFKA_BOOTSTRAP") or not any(part in name for part in NOT_OF_A_MIGRATION)
    }
    return _container(f"{spec.name}-migrate", environment=variables)


def _kafka() -> str:
    files = {mounted.KAFKA_SETTINGS: KAFKA_SETTINGS}
    read = (mounted.in_tls("kafka.pem"), mounted.in_tls("ca.crt"))
    check = [
        *("CMD", "/opt/kafka/bin/kafka-broker-api-versions.sh", "--bootstrap-server"),
        *("localhost:9092", "--command-config", mounted.mounted(mounted.HEALTH_CLIENT)),
    ]
    heap = {"KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m"}
    return _container("kafka", environment=heap, check=check, files=files, read=read)


def _postgres(plain: Mapping[str, Any]) -> str:
    password = mounted.mounted(mounted.ADMIN_PASSWORD)
    variables = {"POSTGRES_USER": ADMIN, "POSTGRES_PASSWORD_FILE": password}
    for spec in STORED:
        for name, role in (("DB", spec.role), ("DB_OWNER", spec.owner)):
            file = mounted.mounted(mounted.PASSWORDS[role])
            variables[f"{spec.prefix}_{name}_PASSWORD_FILE"] = file
    tls = mounted.tls_of("postgres")
    copying = f'install -m 600 {tls.key_file} {POSTGRES_KEY} && exec docker-entrypoint.sh "$$@"'
    lines = {
        "entrypoint": ["sh", "-c", copying, "sh"],
        "command": [
            *plain["command"],
            *options_of(with_tls(mounted.tls_of("postgres", POSTGRES_KEY))),
        ],
        "volumes": [f"./{SECURED_HBA.relative_to(ROOT)}:{_place_of_rules(plain)}:ro"],
    }
    return _container("postgres", lines, environment=variables)


def _place_of_rules(plain: Mapping[str, Any]) -> str:
    own = f"./{HBA.relative_to(ROOT)}:"
    (place,) = (text.split(":")[1] for text in plain["volumes"] if text.startswith(own))
    return str(place)


def _redis(plain: Mapping[str, Any]) -> str:
    tls, users = mounted.tls_of("redis"), mounted.MOUNTED / mounted.REDIS_USERS
    port = int(mounted.WITHIN.redis.rpartition(":")[2])
    command = [*plain["command"], *redis_options(port, users, tls)]
    user = redis_acl.USERS[0].name
    password = mounted.mounted(mounted.PASSWORDS[user])
    ask = f"redis-cli --tls --cacert {tls.ca_file} --user {user} ping"
    check = ["CMD-SHELL", f"REDISCLI_AUTH=$$(cat {password}) {ask} | grep -q PONG"]
    return _container("redis", {"command": command}, check=check)


def _container(
    name: str,
    lines: Mapping[str, list[str]] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    check: list[str] | None = None,
    files: Mapping[str, str] | None = None,
    read: Iterable[str] = (),
) -> str:
    """Its secrets are the files that its text names, those of `read`, and those of `files` by target."""
    parts = [f"  {name}:\n"]
    if environment is not None:  # in the place of the plain one, which has passwords
        variables = (f"      {n}: {scalar(text)}\n" for n, text in environment.items())
        parts += ["    environment: !override\n", *variables]
    parts += [f"    {key}: {json.dumps(value)}\n" for key, value in (lines or {}).items()]
    if check is not None:
        parts.append(f"    healthcheck: {{test: {json.dumps(check)}}}\n")
    names = dict.fromkeys([*USED.findall("".join(parts)), *read])
    targets = {name: mounted.mounted(name) for name in names} | dict(files or {})
    parts += ["    secrets:\n", *(_use(file, target) for file, target in targets.items())]
    return "".join(parts)


def _use(file: str, target: str) -> str:
    source = Path(file).name
    if target == mounted.mounted(source):
        return f"      - {source}\n"
    return f"      - {{source: {source}, target: {target}}}\n"


def _secrets(text: str) -> str:
    """All that containers use."""
    used = {*USED.findall(text), mounted.KAFKA_SETTINGS}
    files = sorted(used, key=lambda file: Path(file).name)
    lines = (f'  {Path(file).name}: {{file: "{FOLDER}/{file}"}}\n' for file in files)
    return "secrets:\n" + "".join(lines)
