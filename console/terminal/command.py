"""The commands `saga top` and `saga orders`."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import Final

from pydantic_core import to_json
from rich.table import Table

from chassis import clock
from chassis.postgres import PostgresDatabase
from console.command import database_url, run
from console.model import OrderRow, ReaderState
from console.queries import Queries
from console.terminal.app import Top
from console.terminal.board import FAILING, WAITING, Board, BoardRow
from console.web.asking import ServiceDirectory
from console.web.filters import FilterError, Wanted, parse
from console.web.orders_pages import as_csv, resolved, rows_of
from console.web.rendering import age, money
from console.web.repairs import Repairs
from saga_cli.ops.ops_client import Directory
from saga_cli.ops.tokens import user_here
from saga_cli.terminal import add_plain, console, fail, plain, table_of

ORDERS: Final = ("order", "state", "must act", "since", "reason", "total")


def show(*, once: bool, every_s: float) -> None:
    """What is not there ends the command with 2; without `once` it ends when it is asked to."""
    run(_show_board(Directory.found(), once=once, every_s=every_s))


def show_orders(words: Sequence[str], *, limit: int, as_json: bool, as_table: bool) -> None:
    """The newest orders that meet a filter; a text that is none ends the command with 2."""
    try:
        wanted = parse(" ".join(map(quoted, words)))
        rows = run(_listed(Directory.found(), wanted, limit))
    except FilterError as error:
        fail(str(error))
    if as_json:
        sys.stdout.writelines(f"{to_json(asdict(row)).decode()}\n" for row in rows)
    elif as_table:
        console.print(table(ORDERS, [_order(row) for row in rows]))
    else:
        sys.stdout.write(as_csv(rows))


def quoted(word: str) -> str:
    """A word of a filter as the shell has left it: `reason:no stock` is `reason:"no stock"`."""
    name, colon, value = word.partition(":")
    return f'{name}:"{value}"' if colon and " " in value and '"' not in value else word


def _order(row: OrderRow) -> BoardRow:
    total = money(row.total_minor, row.currency)
    return (row.id, row.state, row.step or "-", age(row.since), row.reason or "-", total)


@asynccontextmanager
async def opened(found: Directory) -> AsyncIterator[tuple[Queries, ServiceDirectory]]:
    database = PostgresDatabase.at(database_url())
    queries = await Queries.connect(database, lambda: ReaderState(None, clock.now()))
    services = ServiceDirectory(found.urls)
    try:
        yield queries, services
    finally:
        await services.close()
        await queries.close()


async def _show_board(found: Directory, *, once: bool, every_s: float) -> None:
    async with opened(found) as (queries, services):
        read = partial(_read, queries, services, found.token)
        if once:
            _print(await read())
            return
        repairs = Repairs(services, queries.record)
        try:
            top = Top(read, repairs, user_here(), found.token, every_s)
            await top.run_async()
        finally:
            await repairs.close()


async def _listed(found: Directory, wanted: Wanted, limit: int) -> list[OrderRow]:
    async with opened(found) as (queries, services):
        asked = await resolved(queries, services, wanted, found.token)
        return [row async for row in rows_of(queries, asked, limit)]


async def _read(queries: Queries, services: ServiceDirectory, token: str) -> Board:
    return await Board.read(queries, services, token, clock.now())


def _print(board: Board) -> None:
    console.print(plain(board.summary), markup=False, soft_wrap=True)
    for columns, rows in ((WAITING, board.waiting), (FAILING, board.failing)):
        console.print(table(columns, rows))


def table(columns: BoardRow, rows: list[BoardRow]) -> Table:
    shown = table_of(*columns)
    for row in rows:
        add_plain(shown, *row)
    return shown
