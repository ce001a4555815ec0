"""Where the servers come from: addresses given, Docker if an engine answers, else local processes."""

import asyncio
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from saga_cli.stack import containers, servers
from saga_cli.targets import given_addresses, given_kafka, given_stores
from saga_cli.terminal import CommandError, message_of
from saga_cli.topology import GIVEN, Addresses


def docker_answers() -> bool:
    """A client alone is not enough: an engine has to answer."""
    if not shutil.which("docker"):
        return False
    run = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        result = subprocess.run(run, capture_output=True, timeout=10, check=False)  # noqa: S603 - no shell: constant words
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0 and bool(result.stdout.strip())


def provide(folder: Path | None = None, *, secured: bool = False) -> servers.Servers:
    """Servers for one stack; a given folder keeps the data of local ones, as secured ones are.

    Addresses that make no sense, or a missing program, end the command with 2. Raises RuntimeError
    when a server does not answer.
    """
    cluster, stores = given_kafka(), given_stores()
    missing = [name for name in GIVEN if not (cluster if name == GIVEN[0] else stores[name])]
    if secured and len(missing) < len(GIVEN):
        raise CommandError(f"--secure starts servers of its own: unset {', '.join(GIVEN)}")
    if cluster and not missing:
        postgres, redis = stores.values()
        return _given(given_addresses(cluster, postgres, redis))
    if len(missing) < len(GIVEN):
        raise CommandError(f"give {', '.join(missing)} too, or none of {', '.join(GIVEN)}")
    if folder is None and not secured and docker_answers():
        return containers.start()
    return servers.start(folder, secured=secured)


def _given(addresses: Addresses) -> servers.Servers:
    """Somebody else's servers: never stopped here."""
    checks = servers.checks_of(addresses, [addresses.kafka])
    for variable, check in zip(GIVEN, checks, strict=True):
        try:
            asyncio.run(check())
        except Exception as error:
            why = f"the server of {variable} does not answer: {message_of(error)}"
            raise RuntimeError(why) from error
    with ExitStack() as held:
        folder = held.enter_context(servers.private_folder())
        return servers.Servers(addresses, (), folder).bring_up(held)
