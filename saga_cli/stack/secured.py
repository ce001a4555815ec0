"""What a secured stack's servers are given: certificates, users, and files that hand secrets to services."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from saga_cli.stack import redis_acl
from saga_cli.stack.authority import Authority
from saga_cli.stack.kafka import Secured
from saga_cli.stack.postgres import ServerTls
from saga_cli.stack.state import make_private, write_private
from saga_cli.topology import USERS, Addresses, authority_of, kafka_login

SECRETS: Final = (
    *("_PASSWORD", "_SECRET"),
    *("_DATABASE_URL", "_OWNER_URL", "_POSTGRES_URL", "_REDIS_URL"),
)
"""How variables end that hold a secret, or may."""


@dataclass(frozen=True, slots=True)
class ServerSecurity:
    """Nothing of it where servers are open to all of this machine."""

    kafka: Secured | None = None
    postgres: ServerTls | None = None
    redis: ServerTls | None = None
    redis_users: str = ""

    def redis_listener(self, folder: Path, port: int) -> list[str]:
        """Options of Redis: where it listens, and who may come."""
        if not self.redis_users:
            return ["--port", str(port)]
        users = folder / "redis.acl"
        write_private(users, self.redis_users)
        return redis_options(port, users, self.redis)


def redis_options(port: int, users: Path, tls: ServerTls | None) -> list[str]:
    """Of a Redis whose users are in the file; with TLS it takes no other connections."""
    options = ["--aclfile", str(users)]
    if tls is None:
        return ["--port", str(port), *options]
    files = {
        "--tls-cert-file": tls.cert_file,
        "--tls-key-file": tls.key_file,
        "--tls-ca-cert-file": tls.ca_file,
    }
    options += [word for name, file in files.items() for word in (name, str(file))]
    return ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", *options]


OPEN: Final = ServerSecurity()


def security_of(addresses: Addresses) -> ServerSecurity:
    """Certificates are issued anew for each start; the authority and the passwords stay."""
    if addresses.secured is None:
        return OPEN
    authority, passwords = Authority.at(authority_of(addresses.secured)), addresses.passwords

    def issued(name: str) -> ServerTls:
        made = authority.issue(name)
        return ServerTls(made.cert_file, made.key_file, authority.ca_file)

    return ServerSecurity(
        Secured(authority, {user: passwords[kafka_login(user)] for user in USERS}),
        issued("postgres"),
        issued("redis") if addresses.redis_url.startswith("rediss:") else None,
        redis_acl.acl_file(passwords),
    )


def in_files(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Each secret in a file that only its owner may read, and the variable that names the file."""
    return dict(_in_files(folder, variables))


def _in_files(folder: Path, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    make_private(folder)
    for name, text in variables.items():
        if name.endswith(SECRETS):
            write_private(folder / name, text)
            yield f"{name}_FILE", str(folder / name)
        else:
            yield name, text
