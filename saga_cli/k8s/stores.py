"""A PostgreSQL (CloudNativePG) of each process that has a database, and a Redis that loses nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from saga_cli.k8s.names import (
    PART_OF,
    REDIS,
    REDIS_PORT,
    REDIS_TLS,
    REDIS_USERS,
    ClusterResource,
    database_of,
    password_of,
    resource,
)
from saga_cli.stack.mounted import REDIS_USERS as USERS_FILE
from saga_cli.stack.postgres import ServerTls
from saga_cli.stack.secured import redis_options
from saga_cli.stack.servers import DURABLE_REDIS
from saga_cli.topology import STORED, ServiceSpec

REDIS_IMAGE: Final = "redis:7"
REDIS_USER: Final = 999
"""The user of Redis' image."""
TLS, USERS, DATA = Path("/run/tls"), Path("/run/users"), Path("/data")
BARMAN: Final = "barman-cloud.cloudnative-pg.io"
"""CloudNativePG's plugin for backups."""
BACKUPS: Final = "backups"
KEPT: Final = "30d"
DAILY: Final = "0 0 2 * * *"


def databases(size: str, backups: str) -> Iterator[ClusterResource]:
    """A commit is in two of three instances before it is acknowledged. `backups` is an object store's URL."""
    for spec in STORED:
        yield _cluster(spec, size, archived=bool(backups))
        if backups:
            plan = {
                "schedule": DAILY,
                "cluster": {"name": database_of(spec)},
                "method": "plugin",
                "pluginConfiguration": {"name": BARMAN},
            }
            yield resource("postgresql.cnpg.io/v1", "ScheduledBackup", database_of(spec), plan)
    if backups:
        kept = {"retentionPolicy": KEPT, "configuration": _object_store(backups)}
        yield resource("barmancloud.cnpg.io/v1", "ObjectStore", BACKUPS, kept)


def _cluster(spec: ServiceSpec, size: str, *, archived: bool) -> ClusterResource:
    """The service's role is made with the database, as its rights are; its password is managed."""
    made: dict[str, Any] = {
        "instances": 3,
        "storage": {"size": size},
        "postgresql": {
            "parameters": {"max_connections": "200"},
            "synchronous": {"method": "any", "number": 1, "dataDurability": "required"},
        },
        "bootstrap": {
            "initdb": {
                "database": spec.database,
                "owner": spec.owner,
                "secret": {"name": password_of(spec.owner)},
                "postInitSQL": [f"CREATE ROLE {spec.role} LOGIN"],
                "postInitApplicationSQL": [
                    f"REVOKE ALL ON DATABASE {spec.database} FROM PUBLIC",
                    f"GRANT CONNECT ON DATABASE {spec.database} TO {spec.role}",
                ],
            }
        },
        "managed": {
            "roles": [
                {
                    "name": spec.role,
                    "ensure": "present",
                    "login": True,
                    "passwordSecret": {"name": password_of(spec.role)},
                }
            ]
        },
    }
    if archived:
        store = {"barmanObjectName": BACKUPS}
        made["plugins"] = [{"name": BARMAN, "isWALArchiver": True, "parameters": store}]
    return resource("postgresql.cnpg.io/v1", "Cluster", database_of(spec), made)


def _object_store(url: str) -> dict[str, Any]:
    """By the rights of the pod's own identity."""
    return {
        "destinationPath": url,
        "s3Credentials": {"inheritFromIAMRole": True},
        "wal": {"compression": "gzip"},
    }


def redis(size: str) -> Iterator[ClusterResource]:
    """One instance: nothing is acknowledged before it is on disk, and an empty one is filled from the log."""
    ports = [{"name": "redis", "port": REDIS_PORT, "targetPort": REDIS_PORT}]
    selector = {"app.kubernetes.io/name": REDIS}
    yield resource("v1", "Service", REDIS, {"selector": selector, "ports": ports})
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }
    pod = {"metadata": {"labels": {**PART_OF, **selector}}, "spec": _redis_pod()}
    stateful = {
        "serviceName": REDIS,
        "replicas": 1,
        "selector": {"matchLabels": selector},
        "template": pod,
        "volumeClaimTemplates": [claim],
    }
    yield resource("apps/v1", "StatefulSet", REDIS, stateful)


def _redis_pod() -> ClusterResource:
    files = ServerTls(TLS / "tls.crt", TLS / "tls.key", TLS / "ca.crt")
    options = [*DURABLE_REDIS, *redis_options(REDIS_PORT, USERS / USERS_FILE, files)]
    mounts = {"data": DATA, "tls": TLS, "users": USERS}
    container = {
        "name": REDIS,
        "image": REDIS_IMAGE,
        "command": ["redis-server", *options, "--dir", str(DATA)],
        "ports": [{"containerPort": REDIS_PORT}],
        "readinessProbe": {"tcpSocket": {"port": REDIS_PORT}, "periodSeconds": 5},
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": n, "mountPath": str(path)} for n, path in mounts.items()],
    }
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 60,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": REDIS_USER,
            "runAsGroup": REDIS_USER,
            "fsGroup": REDIS_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "tls", "secret": {"secretName": REDIS_TLS, "defaultMode": 0o440}},
            {"name": "users", "secret": {"secretName": REDIS_USERS, "defaultMode": 0o440}},
        ],
    }
