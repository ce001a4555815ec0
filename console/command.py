"""What the console's commands share, and `saga console`."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from chassis.errors import ChassisError
from chassis.postgres import TRANSIENT, PostgresDatabase
from console.rebuilding import rebuild
from saga_cli import targets
from saga_cli.terminal import fail, message_of
from saga_cli.topology import CONSOLE, Addresses

T = TypeVar("T")


def rebuild_now() -> None:
    """What is missing or malformed ends the command with 2, as does a database that does not answer."""
    run(rebuild(PostgresDatabase.at(_owners_url())))
    sys.stdout.write("Emptied: the console reads the log from its start.\n")


def run(work: Coroutine[Any, Any, T]) -> T:
    """A database that does not answer ends the command with 2."""
    try:
        return asyncio.run(work)
    except (ChassisError, *TRANSIENT) as error:
        fail(f"the console's database does not answer: {message_of(error)}")


def database_url() -> str:
    """CONSOLE_DATABASE_URL, else that of the stack of this folder."""
    given = targets.given_database(CONSOLE.prefix)
    return given or _addresses("_URL").database_url(CONSOLE)


def _owners_url() -> str:
    """CONSOLE_DATABASE_OWNER_URL or _URL, else that of the stack of this folder."""
    given = targets.given_database(CONSOLE.prefix, "_OWNER")
    return (
        given
        or targets.given_database(CONSOLE.prefix)
        or _addresses("_OWNER_URL").owner_url(CONSOLE)
    )


def _addresses(variable: str) -> Addresses:
    """Without a stack the command ends with 2, and says what may be given instead."""
    addresses = targets.found().addresses
    if addresses is None:
        fail(f"no stack runs in this folder: give {CONSOLE.prefix}_DATABASE{variable}")
    return addresses
