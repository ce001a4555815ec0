"""The command `saga top`."""

import asyncio
import getpass
from contextlib import suppress
from functools import partial

from rich.table import Table

from chassis import clock
from chassis.errors import ChassisError
from chassis.postgres import TRANSIENT, PostgresDatabase
from console.model import ReaderState
from console.queries import Queries
from console.terminal.app import Top
from console.terminal.board import FAILING, WAITING, Board, Row
from console.web.asking import ServiceDirectory
from console.web.repairs import Repairs
from saga_cli import targets
from saga_cli.ops.ops_client import Directory
from saga_cli.terminal import add_plain, console, fail, message_of, plain
from saga_cli.topology import CONSOLE


def show(*, once: bool, every_s: float) -> None:
    """What is not there ends the command with 2; without `once` it ends when it is asked to."""
    found = Directory.found()
    try:
        asyncio.run(_show(found, PostgresDatabase.at(_database_url()), once=once, every_s=every_s))
    except (ChassisError, *TRANSIENT) as error:
        fail(f"the console's database does not answer: {message_of(error)}")


def _database_url() -> str:
    """CONSOLE_DATABASE_URL, else that of the stack of this folder."""
    if given := targets.given_database(CONSOLE.prefix):
        return given
    addresses = targets.found().addresses
    if addresses is None:
        fail(f"no stack runs in this folder: give {CONSOLE.prefix}_DATABASE_URL")
    return addresses.database_url(CONSOLE)


async def _show(
    found: Directory, database: PostgresDatabase, *, once: bool, every_s: float
) -> None:
    queries = await Queries.connect(database, lambda: ReaderState(None, clock.now()))
    services = ServiceDirectory(found.urls)
    repairs = Repairs(services)
    read = partial(_read, queries, services, found.token)
    try:
        if once:
            _print(await read())
        else:
            await Top(read, queries.record, repairs, _user(), found.token, every_s).run_async()
    finally:
        await repairs.close()
        await services.close()
        await queries.close()


async def _read(queries: Queries, services: ServiceDirectory, token: str) -> Board:
    return await Board.read(queries, services, token, clock.now())


def _print(board: Board) -> None:
    console.print(plain(board.summary), markup=False, soft_wrap=True)
    for columns, rows in ((WAITING, board.waiting), (FAILING, board.failing)):
        console.print(_table(columns, rows))


def _table(columns: Row, rows: list[Row]) -> Table:
    table = Table(*columns)
    for row in rows:
        add_plain(table, *row)
    return table


def _user() -> str:
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return "saga top"
