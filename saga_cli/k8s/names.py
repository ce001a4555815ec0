"""Names of what the charts and the operators' resources have to agree on."""

from typing import Any, Final

from chassis.manifest import Manifest

ClusterResource = dict[str, Any]
"""Of Kubernetes, as its API takes it."""
KAFKA: Final = "kafka"
"""The name of Strimzi's cluster."""
REDIS: Final = "redis"
REDIS_TLS: Final = "redis-tls"
REDIS_USERS: Final = "redis-users"  # the file `redis.acl` of `saga secrets`
POSTGRES_PORT: Final = 5432
REDIS_PORT: Final = 6379
PART_OF: Final = {"app.kubernetes.io/part-of": "checkout"}


def database_of(spec: Manifest) -> str:
    """The name of CloudNativePG's cluster."""
    return f"{spec.name}-db"


def password_of(role: str) -> str:
    """The secret with the password of a role of PostgreSQL, of type `kubernetes.io/basic-auth`."""
    return f"postgres-{role.replace('_', '-')}"


def redis_password_of(spec: Manifest) -> str:
    """The secret with the password of a user of Redis."""
    return f"redis-{spec.name}"


def resource(api: str, kind: str, name: str, spec: Any, **more: Any) -> ClusterResource:
    metadata = {"name": name, "labels": dict(PART_OF)} | more.pop("metadata", {})
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec, **more}
