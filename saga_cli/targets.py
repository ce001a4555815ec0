"""Where a command finds Kafka and the services' own stores: the stack of this folder, or the environment."""

import os
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from chassis.errors import AccessError, SecretError
from chassis.kafka import Cluster
from chassis.postgres import PostgresDatabase
from chassis.process.kafka_settings import KafkaSettings
from chassis.redis import RedisDatabase
from chassis.secret import Secret, SecretSettings, secret_of
from chassis.urls import postgres_url, redis_url
from saga_cli.stack import state
from saga_cli.terminal import CommandError, fail
from saga_cli.topology import BY_NAME, GIVEN, PASSWORDS_SECRET, Addresses, addresses_of

CHECKS: Final = dict(zip(GIVEN[1:], (postgres_url, redis_url), strict=True))


class SagaSettings(KafkaSettings, SecretSettings):
    """How a command is let into Kafka, where no stack runs: SAGA_KAFKA_BOOTSTRAP and its like."""

    model_config = SettingsConfigDict(env_prefix="SAGA_", env_ignore_empty=True)


@dataclass(frozen=True, slots=True)
class Targets:
    """`addresses` is None where only the services' own variables are given."""

    kafka: Cluster
    addresses: Addresses | None = None

    def store_of(self, service: str) -> str:
        """The URL of a service's database, or of its Redis: <SERVICE>_DATABASE_URL or _REDIS_URL.

        Without one, and without a stack, the command ends with 2.
        """
        spec = BY_NAME[service]
        given = given_database if spec.has_database else given_redis
        if url := given(spec.prefix):
            return url
        if self.addresses is None:
            what = "DATABASE" if spec.has_database else "REDIS"
            fail(f"no stack runs in this folder: give {spec.prefix}_{what}_URL")
        return self.addresses.store_of(service)

    def owned_store_of(self, service: str) -> str:
        """As `store_of`; of a database, by the role that may change its schema (_DATABASE_OWNER_URL)."""
        spec = BY_NAME[service]
        if not spec.has_database:
            return self.store_of(service)
        if url := given_database(spec.prefix, "_OWNER"):
            return url
        if self.addresses is None or given_database(spec.prefix):
            return self.store_of(service)
        return self.addresses.owner_url(spec)


def given_database(prefix: str, owner: Literal["", "_OWNER"] = "") -> str:
    """As the variables of a service say it; "" if they do not. What is malformed ends the command with 2."""
    try:
        found = PostgresDatabase.given(os.environ, prefix, owner)
        return found.full_url() if found else ""
    except (ValueError, AccessError, SecretError) as error:
        fail(f"{prefix}_DATABASE{owner}_URL: {error}")


def given_redis(prefix: str) -> str:
    """As `given_database`."""
    try:
        found = RedisDatabase.given(os.environ, prefix)
        return found.full_url() if found else ""
    except (ValueError, SecretError) as error:
        fail(f"{prefix}_REDIS_URL: {error}")


def secret_in_environment(variable: str) -> Secret:
    """What the environment gives as the variable, or in the file that <variable>_FILE names.

    A variable that is given twice, or a file that can't be read, ends the command with 2.
    """
    try:
        return secret_of(os.environ, variable)
    except ValueError as error:
        raise CommandError(f"{variable}: {error}") from error


def given_kafka() -> Cluster | None:
    """What the environment says of Kafka, if it names one; what is malformed ends the command with 2."""
    if not os.environ.get(GIVEN[0]):
        return None
    try:
        return SagaSettings().kafka  # type: ignore[call-arg]  # read from the environment
    except ValidationError as error:
        wrong = (
            f"SAGA_{e['loc'][0]}".upper() + f": {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise CommandError("; ".join(wrong)) from None


def given_stores() -> dict[str, str]:
    """The addresses of PostgreSQL and Redis that the environment names, "" for what it does not.

    A malformed one ends the command with 2.
    """
    addresses: dict[str, str] = {}
    for name, check in CHECKS.items():
        text = secret_in_environment(name).read()
        try:
            addresses[name] = check(text) if text else ""
        except ValueError as error:
            raise CommandError(f"{name}: {error}") from error
    return addresses


def given_addresses(cluster: Cluster, postgres: str, redis: str) -> Addresses:
    """Of servers that the environment names, with the passwords that follow from SAGA_PASSWORDS_SECRET."""
    secret = secret_in_environment(PASSWORDS_SECRET).read()
    return addresses_of(cluster, postgres, redis, secret=secret)


def found() -> Targets:
    """SAGA_KAFKA_BOOTSTRAP, SAGA_POSTGRES_URL and SAGA_REDIS_URL, or the running stack's.

    Kafka's alone is enough for what reads only the log. Without any, the command ends with 2.
    """
    cluster, (postgres, redis) = given_kafka(), given_stores().values()
    if cluster and postgres and redis:
        return Targets(cluster, given_addresses(cluster, postgres, redis))
    if cluster:
        return Targets(cluster)
    stack = state.found()
    if stack is None or not stack.servers:
        fail(f"no stack runs in this folder: start one with `saga up`, or give {GIVEN[0]}")
    bootstrap, postgres, redis = stack.servers
    addresses = addresses_of(Cluster(bootstrap), postgres, redis, stack.secured)
    return Targets(addresses.kafka, addresses)
