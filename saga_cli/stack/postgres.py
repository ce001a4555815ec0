"""PostgreSQL as a local process of an unprivileged user, and the databases of the services in it."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from guarantees.services import WITH_DATABASE
from saga_cli.clients import database
from saga_cli.stack import binaries
from saga_cli.stack.processes import ChildProcess, run
from saga_cli.stack.state import write_private
from saga_cli.topology import Addresses

BY_LOCALE: Final = """
SELECT CASE WHEN EXISTS (SELECT FROM pg_collation WHERE collname = 'en-US-x-icu')
    AND (SELECT datcollate IN ('C', 'POSIX') FROM pg_database WHERE datname = 'template0')
    THEN $$ TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'$$ ELSE '' END
"""
"""Databases sort text by a locale where the server can: as those of the official image do."""
OPTIONS: Final = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "10s",
}


def admin_password(folder: Path) -> str:
    """The administrator's password of the data in the folder, made with the first start."""
    secret = folder / "postgres.secret"
    if not secret.exists():
        write_private(secret, secrets.token_urlsafe(12))
    return secret.read_text()


def prepare(folder: Path, port: int) -> ChildProcess:
    """The process, with a data directory; one that is there already is used as it is."""
    user, data = _unprivileged(), folder / "postgres"
    programs = binaries.reachable(binaries.postgres_folder(), user, folder)
    if not data.exists():
        _make_data(programs, data, folder / "postgres.secret", user)
    options = options_of({**OPTIONS, "wal_compression": _compression(programs, data, user)})
    # No Unix socket: its path may not be longer than 107 characters, and nobody needs it.
    place = ["-D", str(data), "-p", str(port), "-c", "unix_socket_directories="]
    command = [str(programs / "postgres"), *place, *options]
    log = folder / "postgres.log"
    return ChildProcess("postgres", command, log, user=user, folder=data, stop_signal=signal.SIGINT)


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
    init = [str(programs / "initdb"), "-D", str(scratch), "-U", "saga", "-E", "UTF8", "--locale=C"]
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


def create_databases(addresses: Addresses) -> None:
    """Each role owns its own and can't even connect to another's."""
    asyncio.run(_create_databases(addresses))


async def _create_databases(addresses: Addresses) -> None:
    async with database(addresses.postgres_url) as admin:
        how = await admin.fetchval(BY_LOCALE)
        for spec in WITH_DATABASE.values():
            password = addresses.passwords[spec.role]
            exists = await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", spec.role)
            verb = "ALTER" if exists else "CREATE"
            await admin.execute(f"{verb} ROLE {spec.role} LOGIN PASSWORD '{password}'")
            query = "SELECT 1 FROM pg_database WHERE datname = $1"
            if not await admin.fetchval(query, spec.database):
                await admin.execute(f"CREATE DATABASE {spec.database} OWNER {spec.role}{how}")
            await admin.execute(f"REVOKE CONNECT ON DATABASE {spec.database} FROM PUBLIC")
