"""Where services and their stores are, and the variables that tell a process so."""

import hmac
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from chassis.kafka import Cluster
from chassis.kafka.cluster import Security
from chassis.manifest import Manifest as ServiceSpec
from chassis.secret import Secret
from guarantees.services import BY_NAME, SERVICES, WITH_DATABASE

__all__ = [
    "BY_NAME",
    "CONSOLE",
    "PROCESSES",
    "SERVICES",
    "STORED",
    "Addresses",
    "ServiceSpec",
    "addresses_of",
    "environment_of",
]
CONSOLE: Final = ServiceSpec("console", port=8006, table="orders", package="console")
"""The operators' console: a process with a database as services have them, and none of them."""
PROCESSES: Final = (*SERVICES, CONSOLE)
"""All that a stack runs over its servers, and that has a user of its own on Kafka."""
STORED: Final = (*WITH_DATABASE.values(), CONSOLE)
"""Those of them that have a database."""
PASSWORDS_SECRET: Final = "SAGA_PASSWORDS_SECRET"  # noqa: S105 - a variable's name
"""What the passwords of services follow from, where it is not PostgreSQL's administrator's."""
GIVEN: Final = ("SAGA_KAFKA_BOOTSTRAP", "SAGA_POSTGRES_URL", "SAGA_REDIS_URL")
"""The variables that name the three servers, where no stack runs."""
ADMIN: Final = "admin"
"""The administrator of a secured stack's Kafka and Redis."""
READER: Final = "reader"
"""The user of Kafka of commands that only read the log."""
USERS: Final = (*(spec.name for spec in PROCESSES), READER, ADMIN)
"""Of a secured stack's servers."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the three servers are, and a stack's secrets.

    `kafka`, `postgres_url` and `redis_url` are an administrator's. `secured` is the folder of a stack with
    TLS and logins, in which each service has users of its own. `passwords` are by role of PostgreSQL, by
    user of Redis, and by login of Kafka; `issuer` is the URL of who issues the tokens of callers.
    """

    kafka: Cluster
    postgres_url: str
    redis_url: str
    passwords: dict[str, str]
    issuer: str = ""
    secured: Path | None = None

    @property
    def variables(self) -> dict[str, str]:
        """As the commands read them where no stack runs."""
        stores = zip(GIVEN[1:], (self.postgres_url, self.redis_url), strict=True)
        return {**self.kafka.variables("SAGA"), **dict(stores)}

    def kafka_of(self, user: str) -> Cluster:
        """As a user sees it; where there are no logins of the stack's own, all are let in alike."""
        if self.secured is None:
            return self.kafka
        password = Secret(self.passwords[kafka_login(user)])
        return replace(self.kafka, user=user, password=password)

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
        if parts.username == ADMIN:
            netloc = f"{spec.name}:{self.passwords[spec.name]}@{place_of(self.redis_url)}"
        return parts._replace(netloc=netloc, path=f"/{spec.redis_database}").geturl()


def kafka_login(user: str) -> str:
    """The name under which the password of a user of Kafka is kept."""
    return f"kafka {user}"


def authority_of(folder: Path) -> Path:
    """Where a secured stack has its authority, and what that has issued."""
    return folder / "tls"


def place_of(url: str) -> str:
    """Its host and port."""
    return urlsplit(url).netloc.rpartition("@")[2]


def addresses_of(
    kafka: Cluster, postgres_url: str, redis_url: str, secured: Path | None = None, secret: str = ""
) -> Addresses:
    """The addresses with a password for each role, and for each user of a secured stack.

    They follow from one secret, without one from the password of PostgreSQL's administrator, so that two
    stacks over the same servers agree on them and none has to be kept.
    """
    key = (secret or urlsplit(postgres_url).password or postgres_url).encode()
    roles = [name for spec in STORED for name in (spec.role, spec.owner)]
    names = [*roles, *BY_NAME, ADMIN, *map(kafka_login, USERS)]
    passwords = {n: hmac.digest(key, n.encode(), "sha256").hex()[:32] for n in names}
    redis = urlsplit(redis_url)._replace(path="")  # each service has a number of its own
    if secured is not None:
        ca_file = authority_of(secured) / "ca.crt"
        login = Secret(passwords[kafka_login(ADMIN)])
        kafka = replace(
            kafka, security=Security.SASL_SSL, user=ADMIN, password=login, ca_file=str(ca_file)
        )
        query = f"sslmode=verify-full&sslrootcert={ca_file}"
        postgres_url = urlsplit(postgres_url)._replace(query=query).geturl()
        redis = redis._replace(
            netloc=f"{ADMIN}:{passwords[ADMIN]}@{place_of(redis_url)}",
            query=f"ssl_ca_certs={ca_file}" if redis.scheme == "rediss" else "",
        )
    return Addresses(kafka, postgres_url, redis.geturl(), passwords, secured=secured)


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
    return {**addresses.kafka_of(spec.name).variables(spec.prefix), **named}
