"""What the secured Compose file mounts: certificates, passwords, users and Kafka's settings, in one folder.

A container finds a file of the folder below MOUNTED, by the same name. The passwords of services follow from
a secret that no container has; nothing but it, PostgreSQL's administrator's and the authority has to be kept.
"""

import secrets
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from chassis.kafka import Cluster
from chassis.kafka.cluster import Mechanism
from saga_cli.stack import kafka, postgres, redis_acl
from saga_cli.stack.authority import LOOPBACK, Authority, Certificate
from saga_cli.stack.postgres import ServerTls
from saga_cli.stack.secured import in_files
from saga_cli.stack.state import write_private
from saga_cli.topology import (
    PASSWORDS_SECRET,
    PROCESSES,
    READER,
    STORED,
    USERS,
    Addresses,
    addresses_of,
    authority_of,
    kafka_login,
    place_of,
)

MOUNTED: Final = Path("/run/secrets")
RENEWED_BEFORE: Final = timedelta(days=30)
"""The end of a certificate."""
SERVERS: Final = {"kafka": kafka.BROKER, "postgres": "postgres", "redis": "redis"}
"""Hosts in the containers' network, and the common name of each one's certificate."""
KAFKA_DATA: Final = Path("/var/lib/kafka/data")
TOOLS: Final = "tools.env"
KAFKA_SETTINGS: Final = "kafka.properties"
HEALTH_CLIENT: Final = "kafka-health.properties"
REDIS_USERS: Final = "redis.acl"
ADMIN_PASSWORD: Final = "postgres.secret"  # noqa: S105 - a file's name
SECRET: Final = "passwords.secret"  # noqa: S105 - the same
"""From it the other passwords follow. A folder of release 0.2 has none: there they follow from the other."""
TLS_FILES: Final = (
    "ca.crt",
    "kafka.pem",
    *(f"{name}.{kind}" for name in ("postgres", "redis") for kind in ("crt", "key")),
)
READABLE, COPIED = 0o444, 0o644
"""Modes: a container's user is another than the folder's owner, who alone may enter the folder.

Kafka's image copies its settings with their mode, and then opens the copy for writing.
"""
CLIENT: Final = """\
security.protocol=SASL_SSL
sasl.mechanism=PLAIN
sasl.jaas.config={module} required username="{user}" password="{password}";
ssl.truststore.type=PEM
ssl.truststore.location={authority}
"""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the servers are, as host:port."""

    kafka: str
    postgres: str
    redis: str

    def addresses(self, password: str, folder: Path, secret: str = "") -> Addresses:
        """As they are from where the folder with the authority is; the password is PostgreSQL's."""
        return addresses_of(
            Cluster(self.kafka, mechanism=Mechanism.PLAIN),
            f"postgresql://{postgres.ADMIN}:{password}@{self.postgres}/postgres",
            f"rediss://{self.redis}",
            folder,
            secret,
        )


WITHIN: Final = Places("kafka:9092", "postgres:5432", "redis:6379")
PUBLISHED: Final = Places("127.0.0.1:29092", "127.0.0.1:25432", "127.0.0.1:26379")
"""As the containers know them, and as this machine does."""
BROKER: Final = kafka.KafkaBroker(
    "kafka",
    9092,
    9093,
    host="kafka",
    doors=(kafka.Door("HOST", 29092, PUBLISHED.kafka, "SASL_SSL"),),
    mutual_port=9094,
    listens_at="",
)
PASSWORDS: Final = {
    login: f"{name}.password"
    for login, name in (
        *((role, role) for spec in STORED for role in (spec.role, spec.owner)),
        *((spec.name, f"redis-{spec.name}") for spec in redis_acl.USERS),
        *((kafka_login(spec.name), f"kafka-{spec.name}") for spec in PROCESSES),
    )
}
"""Logins of all processes, as `Addresses.passwords` names them, and the file with the password of each."""
NAMED: Final = replace(WITHIN.addresses("", MOUNTED), passwords=PASSWORDS)
"""The addresses as containers know them, with the names of files in the place of passwords."""


def by_file(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables made of NAMED: a password is in none of them, but in the file that one names."""
    return dict(_by_file(variables))


def _by_file(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, text in variables.items():
        file = text if name.endswith("_PASSWORD") else urlsplit(text).password
        if not file:
            yield name, text
            continue
        if name.endswith("_URL"):
            url = urlsplit(text)
            yield name, url._replace(netloc=f"{url.username}@{place_of(text)}").geturl()
        yield f"{name.removesuffix('_URL').removesuffix('_PASSWORD')}_PASSWORD_FILE", mounted(file)


def mounted(file: str) -> str:
    return str(MOUNTED / file)


def in_tls(file: str) -> str:
    """The name in the folder of what the authority has issued."""
    return str(authority_of(Path()) / file)


def tls_of(server: str, key: str = "") -> ServerTls:
    """As the container of PostgreSQL or Redis finds it; its key may have been copied elsewhere."""
    cert, own, authority = (
        MOUNTED / in_tls(file) for file in (f"{server}.crt", f"{server}.key", "ca.crt")
    )
    return ServerTls(cert, Path(key) if key else own, authority)


def make(folder: Path, *, renew: bool = False) -> list[str]:
    """The names of the files that are new or changed; what is there and still good is left alone.

    A certificate is issued anew in its last days, or to `renew` all of them. Raises OSError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    changed = list[str]()
    if not (folder / ADMIN_PASSWORD).exists():
        write_private(folder / SECRET, secrets.token_urlsafe(32))
        changed += [SECRET, ADMIN_PASSWORD]
    password, kept = postgres.admin_password(folder), folder / SECRET
    secret = kept.read_text() if kept.exists() else ""
    (folder / ADMIN_PASSWORD).chmod(READABLE)
    changed += _certificates(Authority.at(authority_of(folder)), renew=renew)
    addresses = WITHIN.addresses(password, MOUNTED, secret)
    for name, text in _texts(addresses.passwords).items():
        mode = COPIED if name == KAFKA_SETTINGS else READABLE
        changed += [name] * _is_written(folder / name, text, mode)
    published = PUBLISHED.addresses(password, folder.resolve(), secret)
    variables = published.variables | ({PASSWORDS_SECRET: secret} if secret else {})
    tools = in_files(folder.resolve() / "tools", variables)
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in tools.items())
    return changed + [TOOLS] * _is_written(folder / TOOLS, text, 0o600)


def _certificates(authority: Authority, *, renew: bool) -> Iterator[str]:
    for host, common in SERVERS.items():
        files = Certificate.in_folder(authority.folder, host)
        if renew or not _is_good(files, authority):
            authority.issue(common, (host, *LOOPBACK), file=host)
            yield in_tls(f"{host}.*")
    for name in TLS_FILES:
        (authority.folder / name).chmod(READABLE)


def _is_good(files: Certificate, authority: Authority) -> bool:
    """Of this authority, complete, and not in its last days."""
    if not all(file.exists() for file in (files.cert_file, files.key_file, files.both)):
        return False
    found = x509.load_pem_x509_certificate(files.cert_file.read_bytes())
    try:
        found.verify_directly_issued_by(authority.certificate)
    except (ValueError, InvalidSignature):
        return False
    return found.not_valid_after_utc - datetime.now(UTC) > RENEWED_BEFORE


def _texts(passwords: Mapping[str, str]) -> dict[str, str]:
    """What follows from the passwords, by the name of its file."""
    tls = authority_of(MOUNTED)
    files = kafka.BrokerFiles(KAFKA_DATA, tls / "kafka.pem", tls / "ca.crt")
    users = {user: passwords[kafka_login(user)] for user in USERS}
    client = CLIENT.format(
        module=kafka.PLAIN_MODULE, user=READER, password=users[READER], authority=files.ca_file
    )
    return {
        **{file: passwords[login] for login, file in PASSWORDS.items()},
        REDIS_USERS: redis_acl.acl_file(passwords),
        KAFKA_SETTINGS: kafka.settings_with_users(BROKER, files, users),
        HEALTH_CLIENT: client,
    }


def _is_written(file: Path, text: str, mode: int) -> bool:
    """Did it have to be? A container sees the file that was there when it started."""
    is_new = not file.exists() or file.read_text() != text
    if is_new:
        write_private(file, text)
    file.chmod(mode)
    return is_new
