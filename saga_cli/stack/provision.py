"""Where the servers come from: addresses given, Docker if an engine answers, else local processes."""

import asyncio
import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from saga_cli.stack import containers, servers
from saga_cli.stack.processes import Process, guard
from saga_cli.topology import SERVICES, Addresses

GIVEN: Final = ("SAGA_KAFKA_BOOTSTRAP", "SAGA_POSTGRES_URL", "SAGA_REDIS_URL")


@dataclass
class GivenServers(servers.Servers):
    """Somebody else's servers: never stopped here."""

    @property
    def all(self) -> tuple[Process, ...]:
        return ()

    def stop(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def docker_answers() -> bool:
    """A client alone is not enough: an engine has to answer."""
    if not shutil.which("docker"):
        return False
    run = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        result = subprocess.run(run, capture_output=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0 and bool(result.stdout.strip())


def provide() -> servers.Servers:
    """Servers for one stack.

    Raises MissingProgramError when they can't be had, RuntimeError when one does not start.
    """
    if all(os.environ.get(name) for name in GIVEN):
        return _given()
    if docker_answers():
        return containers.start()
    return servers.start()


def _given() -> servers.Servers:
    folder = Path(tempfile.mkdtemp(prefix="saga-"))
    guard(folder)
    kafka, postgres, redis = (os.environ[name] for name in GIVEN)
    passwords = {spec.role: secrets.token_urlsafe(12) for spec in SERVICES}
    addresses = Addresses(kafka, postgres, redis.rstrip("/"), passwords)
    asyncio.run(servers.create_databases(addresses))
    nobody = Process("given", (), folder / "given.log")
    return GivenServers(addresses, nobody, nobody, nobody, folder)
