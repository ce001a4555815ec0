"""The commands `saga top` and `saga orders`."""

import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from functools import partial
from typing import Any, Final, TypeVar

from pydantic_core import to_json
from rich.table import Table

from chassis import clock
from chassis.errors import ChassisError
from chassis.postgres import TRANSIENT, PostgresDatabase
from console.model import OrderRow, ReaderState
from console.queries import Queries
from console.terminal.app import Top
from console.terminal.board import FAILING, WAITING, Board, BoardRow
from console.web.asking import ServiceDirectory
from console.web.filters import FilterError, Wanted, parse
from console.web.orders_pages import as_csv, resolved, rows_of
from console.web.rendering import age, money
from console.web.repairs import Repairs
from saga_cli import targets
from saga_cli.ops.ops_client import Directory
from saga_cli.terminal import add_plain, console, fail, message_of, plain
from saga_cli.topology import CONSOLE

T = TypeVar("T")
ORDERS: Final = ("order", "state", "must act", "since", "reason", "total")


def show(*, once: bool, every_s: float) -> None:
    """What is not there ends the command with 2; without `once` it ends when it is asked to."""
    _run(_show_board(Directory.found(), once=once, every_s=every_s))


def show_orders(words: Sequence[str], *, limit: int, as_json: bool, as_table: bool) -> None:
    """The newest orders that meet a filter; a text that is none ends the command with 2."""
    try:
        wanted = parse(" ".join(map(quoted, words)))
        rows = _run(_listed(Directory.found(), wanted, limit))
    except FilterError as error:
        fail(str(error))
    if as_json:
        sys.stdout.writelines(f"{to_json(asdict(row)).decode()}\n" for row in rows)
    elif as_table:
        console.print(_table(ORDERS, [_order(row) for row in rows]))
    else:
        sys.stdout.write(as_csv(rows))


def quoted(word: str) -> str:
    """A word of a filter as the shell has left it: `reason:no stock` is `reason:"no stock"`."""
    name, colon, value = word.partition(":")
    return f'{name}:"{value}"' if colon and " " in value and '"' not in value else word


def _order(row: OrderRow) -> BoardRow:
    total = money(row.total_minor, row.currency)
    return (row.id, row.state, row.step or "-", age(row.since), row.reason or "-", total)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """A database that does not answer ends the command with 2."""
    try:
        return asyncio.run(work)
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


@asynccontextmanager
async def _opened(found: Directory) -> AsyncIterator[tuple[Queries, ServiceDirectory]]:
    database = PostgresDatabase.at(_database_url())
    queries = await Queries.connect(database, lambda: ReaderState(None, clock.now()))
    services = ServiceDirectory(found.urls)
    try:
        yield queries, services
    finally:
        await services.close()
        await queries.close()


async def _show_board(found: Directory, *, once: bool, every_s: float) -> None:
    async with _opened(found) as (queries, services):
        read = partial(_read, queries, services, found.token)
        if once:
            _print(await read())
            return
        repairs = Repairs(services)
        try:
            top = Top(read, queries.record, repairs, _user(), found.token, every_s)
            await top.run_async()
        finally:
            await repairs.close()


async def _listed(found: Directory, wanted: Wanted, limit: int) -> list[OrderRow]:
    async with _opened(found) as (queries, services):
        asked = await resolved(queries, services, wanted, found.token)
        return [row async for row in rows_of(queries, asked, limit)]


async def _read(queries: Queries, services: ServiceDirectory, token: str) -> Board:
    return await Board.read(queries, services, token, clock.now())


def _print(board: Board) -> None:
    console.print(plain(board.summary), markup=False, soft_wrap=True)
    for columns, rows in ((WAITING, board.waiting), (FAILING, board.failing)):
        console.print(_table(columns, rows))


def _table(columns: BoardRow, rows: list[BoardRow]) -> Table:
    table = Table(*columns)
    for row in rows:
        add_plain(table, *row)
    return table


def _user() -> str:
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return "saga top"
