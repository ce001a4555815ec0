"""PostgreSQL as a local process of an unprivileged user, and the databases of the services in it."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from chassis.postgres import Connection, PostgresDatabase, migrations
from guarantees.declared import migrations_of
from guarantees.services import WITH_DATABASE
from saga_cli.clients import database
from saga_cli.stack import binaries
from saga_cli.stack.processes import ChildProcess, run
from saga_cli.stack.state import write_private
from saga_cli.topology import STORED, Addresses, ServiceSpec

ADMIN: Final = "saga"
BY_LOCALE: Final = """
SELECT CASE WHEN EXISTS (SELECT FROM pg_collation WHERE collname = 'en-US-x-icu')
    AND (SELECT datcollate IN ('C', 'POSIX') FROM pg_database WHERE datname = 'template0')
    THEN $$ TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'$$ ELSE '' END
"""
"""Databases sort text by a locale where the server can: as those of the official image do."""
OWNER: Final = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1"
OPTIONS: Final = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "10s",
}


@dataclass(frozen=True, slots=True)
class ServerTls:
    """PEM files: what a server proves itself with, and who signs its clients' certificates."""

    cert_file: Path
    key_file: Path
    ca_file: Path


def admin_password(folder: Path) -> str:
    """The administrator's password of the data in the folder, made with the first start."""
    secret = folder / "postgres.secret"
    if not secret.exists():
        write_private(secret, secrets.token_urlsafe(12))
    return secret.read_text()


def prepare(folder: Path, port: int, tls: ServerTls | None = None) -> ChildProcess:
    """The process, with a data directory; one that is there already is used as it is.

    With TLS it takes no other connections.
    """
    user, data = _unprivileged(), folder / "postgres"
    programs = binaries.reachable(binaries.postgres_folder(with_tls=tls is not None), user, folder)
    if not data.exists():
        _make_data(programs, data, folder / "postgres.secret", user)
    rules = _for_the_server(folder / "pg_hba.conf", hba_rules("hostssl" if tls else "host"), user)
    settings = {**OPTIONS, "hba_file": str(rules)}
    settings |= tls_settings(folder, tls, user) if tls else {}
    options = options_of({**settings, "wal_compression": _compression(programs, data, user)})
    # No Unix socket: its path may not be longer than 107 characters, and nobody needs it.
    place = ["-D", str(data), "-p", str(port), "-c", "unix_socket_directories="]
    command = [str(programs / "postgres"), *place, *options]
    log = folder / "postgres.log"
    return ChildProcess("postgres", command, log, user=user, folder=data, stop_signal=signal.SIGINT)


def hba_rules(kind: Literal["host", "hostssl"], address: str = "127.0.0.1/32") -> str:
    """Who may connect to which database (pg_hba.conf): no role of a service to any but its own.

    The first line that fits decides, and what fits none is refused.
    """
    by = f"{address} scram-sha-256"
    let_in = {"all": ADMIN, "replication": ADMIN}
    let_in |= {spec.database: f"{spec.role},{spec.owner}" for spec in STORED}
    return "".join(f"{kind} {database} {roles} {by}\n" for database, roles in let_in.items())


def tls_settings(folder: Path, tls: ServerTls, user: str | None) -> dict[str, str]:
    """Copies of the files, as a server takes a key that is its own user's alone, and the settings."""
    files = {"crt": tls.cert_file, "key": tls.key_file, "ca": tls.ca_file}
    copies = (
        _for_the_server(folder / f"postgres.{kind}", file.read_text(), user)
        for kind, file in files.items()
    )
    return with_tls(ServerTls(*copies))


def with_tls(tls: ServerTls) -> dict[str, str]:
    """The settings of a server that reads these very files."""
    files = {"cert": tls.cert_file, "key": tls.key_file, "ca": tls.ca_file}
    return {"ssl": "on", **{f"ssl_{kind}_file": str(file) for kind, file in files.items()}}


def _for_the_server(file: Path, text: str, user: str | None) -> Path:
    write_private(file, text)
    if user:
        shutil.chown(file, user)
    return file


def options_of(settings: Mapping[str, str]) -> list[str]:
    """As `postgres` takes them."""
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _compression(programs: Path, data: Path, user: str | None) -> str:
    """LZ4 where it is built in: with its own, whole pages in the log cost more CPU than all else."""
    asked = ["-D", str(data), "-c", "wal_compression=lz4", "-C", "wal_compression"]
    try:
        run([str(programs / "postgres"), *asked], user)
    except RuntimeError:
        return "on"
    return "lz4"


def _make_data(programs: Path, data: Path, secret: Path, user: str | None) -> None:
    scratch = data.with_suffix(".new")  # a start that was killed in the middle leaves no half
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    if user:
        shutil.chown(scratch, user)
        shutil.chown(secret, user)
    init = [str(programs / "initdb"), "-D", str(scratch), "-U", ADMIN, "-E", "UTF8", "--locale=C"]
    run([*init, "-A", "scram-sha-256", f"--pwfile={secret}"], user)
    scratch.rename(data)


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


async def answers(url: str) -> None:
    async with database(url, timeout_s=2):
        pass


def create_databases(
    addresses: Addresses, specs: Sequence[ServiceSpec] = tuple(WITH_DATABASE.values())
) -> None:
    """A database of each service, with the newest schema.

    One role owns it and all that is in it; the service's own reads and writes rows. No other can
    even connect.
    """
    asyncio.run(_create_databases(addresses, specs))


async def _create_databases(addresses: Addresses, specs: Sequence[ServiceSpec]) -> None:
    await make_databases(addresses, specs)
    for spec in specs:
        folder, own = migrations_of(spec.name), PostgresDatabase.at(addresses.database_url(spec))
        await migrations.migrate(folder, own, PostgresDatabase.at(addresses.owner_url(spec)))


async def make_databases(addresses: Addresses, specs: Sequence[ServiceSpec]) -> None:
    """Each with its roles; what is in it is its owner's to make."""
    async with database(addresses.postgres_url) as admin:
        how = await admin.fetchval(BY_LOCALE)
        for spec in specs:
            for role in (spec.owner, spec.role):
                exists = await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
                verb = "ALTER" if exists else "CREATE"
                password = addresses.passwords[role]
                await admin.execute(f"{verb} ROLE {role} LOGIN PASSWORD '{password}'")
            owner = await admin.fetchval(OWNER, spec.database)
            if owner is None:
                await admin.execute(f"CREATE DATABASE {spec.database} OWNER {spec.owner}{how}")
            await _let_in(admin, spec)
            if owner != spec.owner:
                await _hand_over(addresses, spec)


async def _let_in(admin: Connection, spec: ServiceSpec) -> None:
    await admin.execute(f"ALTER DATABASE {spec.database} OWNER TO {spec.owner}")
    await admin.execute(f"REVOKE ALL ON DATABASE {spec.database} FROM PUBLIC")
    await admin.execute(f"GRANT CONNECT ON DATABASE {spec.database} TO {spec.role}")


async def _hand_over(addresses: Addresses, spec: ServiceSpec) -> None:
    """What the service's role made when it was the owner is the owner's."""
    url = urlsplit(addresses.postgres_url)._replace(path=f"/{spec.database}").geturl()
    async with database(url) as admin:
        await admin.execute(f"REASSIGN OWNED BY {spec.role} TO {spec.owner}")
        await admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # until release 14
