"""What deploy/helm/checkout-service is given for each process: its values, from the manifest."""

import json
from typing import Any, Final

from chassis.kafka import PARTITIONS
from chassis.process.runtime import STAGE_S
from saga_cli.k8s import names
from saga_cli.topology import CONSOLE, SERVICES, ServiceSpec

STARTUP_MINUTES: Final = {"redis": 60, "postgres": 10}
"""How long a process may take to start, by where its state is: a Redis may have to be filled from the log."""
STAGES: Final = 2
ChartValues = dict[str, Any]


def values_of(spec: ServiceSpec, version: str) -> ChartValues:
    """All that differs between two processes."""
    state = "postgres" if spec.has_database else "redis"
    return {
        "name": spec.name,
        "module": spec.module,
        "prefix": spec.prefix,
        "port": spec.port,
        "version": version,
        "command": ["python", "-m", spec.module],
        "database": _database(spec),
        "redis": _redis(spec),
        "provider": bool(spec.provider),
        "partitions": 1 if spec is CONSOLE else PARTITIONS,
        "stopSeconds": STAGES * STAGE_S,
        "startupMinutes": STARTUP_MINUTES[state],
        **(_of_the_console() if spec is CONSOLE else {}),
    }


def _database(spec: ServiceSpec) -> ChartValues:
    if not spec.has_database:
        return {}
    cluster = names.database_of(spec)
    return {
        "name": spec.database,
        "role": spec.role,
        "owner": spec.owner,
        "host": f"{cluster}-rw",
        "port": names.POSTGRES_PORT,
        "passwordSecret": _secret(names.password_of(spec.role)),
        "ownerPasswordSecret": _secret(names.password_of(spec.owner)),
        "caSecret": _secret(f"{cluster}-ca", "ca.crt"),
        "peers": _pods({"cnpg.io/cluster": cluster}),
    }


def _redis(spec: ServiceSpec) -> ChartValues:
    """With `sentinels` (host:port of each) the host is the name that they have for the primary."""
    if spec.redis_database is None:
        return {}
    return {
        "host": names.REDIS,
        "port": names.REDIS_PORT,
        "number": spec.redis_database,
        "user": spec.name,
        "passwordSecret": _secret(names.redis_password_of(spec)),
        "caSecret": _secret(names.REDIS_TLS, "ca.crt"),
        "peers": _pods({"app.kubernetes.io/name": names.REDIS}),
        "sentinels": [],
        "sentinelUser": "",
        "sentinelPasswordSecret": _secret(""),
    }


def _of_the_console() -> ChartValues:
    """It is asked by few, and one of its instances reads the log."""
    urls = {spec.name: [f"http://{spec.name}:{spec.port}"] for spec in SERVICES}
    return {
        "env": {f"{CONSOLE.prefix}_SERVICES": json.dumps(urls)},
        "calls": {spec.name: spec.port for spec in SERVICES},
    }


def _secret(name: str, key: str = "password") -> dict[str, str]:
    return {"name": name, "key": key}


def _pods(labels: dict[str, str]) -> list[ChartValues]:
    return [{"podSelector": {"matchLabels": labels}}]
