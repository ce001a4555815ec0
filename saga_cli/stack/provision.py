"""Where the servers come from: addresses given, Docker if an engine answers, else local processes."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from saga_cli.stack import containers, postgres, servers
from saga_cli.stack.given import GIVEN, MissingAddressError, given
from saga_cli.stack.processes import ChildProcess
from saga_cli.terminal import message_of
from saga_cli.topology import addresses_of


@dataclass
class GivenServers(servers.Servers):
    """Somebody else's servers: never stopped here."""

    @property
    def all(self) -> tuple[ChildProcess, ...]:
        return ()


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


def provide(folder: Path | None = None) -> servers.Servers:
    """Servers for one stack; a given folder keeps the data of local ones.

    Raises MissingAddressError or MissingProgramError when they can't be had, RuntimeError when one
    does not answer.
    """
    missing = [name for name in GIVEN if not given()[name]]
    if not missing:
        return _given()
    if len(missing) < len(GIVEN):
        raise MissingAddressError(f"give {', '.join(missing)} too, or none of {', '.join(GIVEN)}")
    if folder is None and docker_answers():
        return containers.start()
    return servers.start(folder)


def _given() -> servers.Servers:
    addresses = addresses_of(*given().values())
    for variable, check in zip(GIVEN, servers.CHECKS.values(), strict=True):
        try:
            check(addresses)
        except Exception as error:
            raise RuntimeError(
                f"the server of {variable} does not answer: {message_of(error)}"
            ) from error
    postgres.create_databases(addresses)
    folder, held = servers.private_folder()
    nobody = ChildProcess("given", (), folder / "given.log")
    return GivenServers(addresses, (nobody,), nobody, nobody, folder, held=held)
