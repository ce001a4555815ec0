"""The command `saga console`."""

import asyncio
import sys

from chassis.errors import ChassisError
from chassis.postgres import TRANSIENT, PostgresDatabase
from console.rebuilding import rebuild
from saga_cli import targets
from saga_cli.terminal import fail, message_of
from saga_cli.topology import CONSOLE


def rebuild_now() -> None:
    """What is missing or malformed ends the command with 2, as does a database that does not answer."""
    try:
        asyncio.run(rebuild(PostgresDatabase.at(_owners_url())))
    except (ChassisError, *TRANSIENT) as error:
        fail(f"the console's database does not answer: {message_of(error)}")
    sys.stdout.write("Emptied: the console reads the log from its start.\n")


def _owners_url() -> str:
    """CONSOLE_DATABASE_OWNER_URL or _URL, else that of the stack of this folder."""
    given = targets.given_database(CONSOLE.prefix, "_OWNER")
    if url := given or targets.given_database(CONSOLE.prefix):
        return url
    addresses = targets.found().addresses
    if addresses is None:
        fail(f"no stack runs in this folder: give {CONSOLE.prefix}_DATABASE_OWNER_URL")
    return addresses.owner_url(CONSOLE)
