"""Where services and their stores are, and the variables that tell a process so."""

import hmac
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from chassis.kafka import Cluster
from chassis.manifest import Manifest as ServiceSpec
from guarantees.services import BY_NAME, SERVICES

__all__ = ["BY_NAME", "SERVICES", "Addresses", "ServiceSpec", "addresses_of", "environment_of"]
REDIS_ADMIN: Final = "admin"
GIVEN: Final = ("SAGA_KAFKA_BOOTSTRAP", "SAGA_POSTGRES_URL", "SAGA_REDIS_URL")
"""The variables that name the three servers, where no stack runs."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the three servers are, and a stack's secrets.

    `kafka`, `postgres_url` and `redis_url` are an administrator's; `passwords` are by role of PostgreSQL
    and by user of Redis; `issuer` is the URL of who issues the tokens of callers.
    """

    kafka: Cluster
    postgres_url: str
    redis_url: str
    passwords: dict[str, str]
    issuer: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """As the commands read them where no stack runs."""
        stores = zip(GIVEN[1:], (self.postgres_url, self.redis_url), strict=True)
        return {**self.kafka.variables("SAGA"), **dict(stores)}

    def database_url(self, spec: ServiceSpec) -> str:
        """As the role that a service runs with."""
        return self._database_url(spec, spec.role)

    def owner_url(self, spec: ServiceSpec) -> str:
        """As the role that may change the schema."""
        return self._database_url(spec, spec.owner)

    def _database_url(self, spec: ServiceSpec, role: str) -> str:
        """With the administrator's parameters, such as those of TLS."""
        place, query = place_of(self.postgres_url), urlsplit(self.postgres_url).query
        url = f"postgresql://{role}:{self.passwords[role]}@{place}/{spec.database}"
        return f"{url}?{query}" if query else url

    def store_of(self, service: str) -> str:
        """The URL of a service's own database, or of its Redis."""
        spec = BY_NAME[service]
        if spec.has_database:
            return self.database_url(spec)
        return self.redis_url_of(spec)

    def redis_url_of(self, spec: ServiceSpec) -> str:
        """As the service's own user, where Redis has those of `saga_cli.stack.redis_acl`."""
        parts, netloc = urlsplit(self.redis_url), urlsplit(self.redis_url).netloc
        if parts.username == REDIS_ADMIN:
            netloc = f"{spec.name}:{self.passwords[spec.name]}@{place_of(self.redis_url)}"
        return parts._replace(netloc=netloc, path=f"/{spec.redis_database}").geturl()


def place_of(url: str) -> str:
    """Its host and port."""
    return urlsplit(url).netloc.rpartition("@")[2]


def addresses_of(kafka: Cluster, postgres_url: str, redis_url: str) -> Addresses:
    """The addresses with a password for each role.

    They follow from the administrator's, so that two stacks over the same servers agree on them
    and none has to be kept.
    """
    secret = (urlsplit(postgres_url).password or postgres_url).encode()
    passwords = {
        name: hmac.digest(secret, name.encode(), "sha256").hex()[:32]
        for spec in SERVICES
        for name in (spec.role, spec.owner, spec.name)
    }
    redis = urlsplit(redis_url)._replace(path="").geturl()  # each service has a number of its own
    return Addresses(kafka, postgres_url, redis, passwords)


def environment_of(spec: ServiceSpec, addresses: Addresses, port: int) -> dict[str, str]:
    variables = {
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
    }
    if spec.has_database:
        variables["DATABASE_URL"] = addresses.database_url(spec)
    if spec.redis_database is not None:
        variables["REDIS_URL"] = addresses.redis_url_of(spec)
    if addresses.issuer:
        variables["AUTH_ISSUER"] = addresses.issuer
    named = {f"{spec.prefix}_{name}": value for name, value in variables.items()}
    return {**addresses.kafka.variables(spec.prefix), **named}
