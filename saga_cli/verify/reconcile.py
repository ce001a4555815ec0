"""saga reconcile: are all orders settled, complete, and undone in order, by all databases and the log?

An operator's check, not a service: it looks into all databases, which no service may.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import typer
from aiokafka.errors import KafkaError
from pydantic_core import from_json
from redis.asyncio import Redis

from chassis.kafka import NotLetInError, NotPermittedError, reading
from guarantees.counts import counted
from guarantees.declared import service_of
from guarantees.judge import PIECES, Books, JudgeReport, StoredRow, judge
from guarantees.services import WITH_DATABASE
from saga_cli.clients import database, in_one_line
from saga_cli.log.kafka import kept_of
from saga_cli.log.reader import TOPICS, LogEvent, logged, parts_of, print_unread
from saga_cli.targets import Targets, found
from saga_cli.terminal import console, print_json, write_violations
from saga_cli.topology import Addresses
from saga_cli.verify.live import hashes

SHOWN: Final = 20
LOOK_AGAIN_S: Final = 0.2
OPEN_ORDERS: Final = "SELECT count(*) FROM orders WHERE status NOT IN ('Confirmed', 'Cancelled')"


def run(seconds: float, *, as_json: bool) -> None:
    """Print the report on the orders once they are settled, or after so many seconds."""
    unread: list[str] = []
    with in_one_line():
        report = asyncio.run(settled(found(), (), seconds, unread))
    print_unread(unread)
    if as_json:
        print_json(asdict(report))
    else:
        states = ", ".join(f"{n} {state}" for state, n in sorted(report.states.items())) or "none"
        console.print(
            f"{counted(report.orders, 'order')} ({states}), {counted(report.events, 'event')} in the log"
        )
        write_violations(report.violations, SHOWN)
        if report.is_clean:
            console.print("[green]All books agree: G1 to G4, G6 and G7 hold.[/]")
    if not report.is_clean:
        raise typer.Exit(1)


async def settled(
    places: Addresses | Targets,
    expected: Collection[str],
    seconds: float,
    unread: list[str] | None = None,
) -> JudgeReport:
    """Check G1, G2, G3, G4, G6 and G7 of every order, again until all is well, or the time is over.

    `expected` are acknowledged order ids (G5). While something is on its way the stores alone are
    asked; the log is read on from where it was read to. What can't be read is noted in `unread`.
    Brokers that don't answer are asked again; raises their error (KafkaError, OSError) in the end.
    """
    deadline, bad = time.monotonic() + seconds, [] if unread is None else unread
    events: list[LogEvent] = []
    log: Any = None  # opened once nothing is on its way: until then Kafka may be away
    async with _stores(places.store_of) as stores, AsyncExitStack() as opened:
        while True:
            is_late = time.monotonic() >= deadline
            if is_late or not await stores.on_the_way():
                books = await stores.books()
                try:
                    if log is None:
                        log = await opened.enter_async_context(reading(places.kafka, TOPICS))
                    parts = parts_of(log.starts)
                    async for batch in log.to_end():
                        read = (logged(kept_of(record), bad, parts) for record in batch)
                        events += filter(None, read)
                except (NotLetInError, NotPermittedError):
                    raise
                except (KafkaError, OSError):
                    if is_late:
                        raise
                else:
                    report = judge(books, events, expected)
                    if report.is_clean or is_late:
                        return report
            await asyncio.sleep(LOOK_AGAIN_S)


async def read_books(store_of: Callable[[str], str]) -> Books:
    """`store_of` gives the URL of a service's store."""
    async with _stores(store_of) as stores:
        return await stores.books()


@asynccontextmanager
async def _stores(store_of: Callable[[str], str]) -> AsyncIterator["Stores"]:
    async with AsyncExitStack() as stack:
        opened = {n: await stack.enter_async_context(database(store_of(n))) for n in WITH_DATABASE}
        yield Stores(opened, await stack.enter_async_context(Redis.from_url(store_of("loyalty"))))


@dataclass(frozen=True, slots=True)
class Stores:
    """The services' databases, and loyalty's Redis."""

    databases: dict[str, Any]
    redis: Redis

    async def on_the_way(self) -> bool:
        """Are there open orders, or events that are not published?"""
        if await self.databases["order"].fetchval(OPEN_ORDERS):
            return True
        return any([await _count(each, "outbox") for each in self.databases.values()])

    async def books(self) -> Books:
        books = Books()
        for name, connection in self.databases.items():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await _read_database(connection, name, books)
        await _read_loyalty(self.redis, books)
        return books


async def _count(connection: Any, table: str) -> int:
    return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - own names


async def _read_database(connection: Any, name: str, books: Books) -> None:
    """Its rows at one instant: stock and reservations change together."""
    table = WITH_DATABASE[name].table
    rows = await connection.fetch(f"SELECT order_id, status, detail FROM {table}")  # noqa: S608 - own names
    books.rows[name] = {r[0]: StoredRow(r[1], from_json(r[2])) for r in rows}
    for what in ("outbox", "parked"):
        books.waiting[f"{name} {what} rows"] = await _count(connection, what)
    service = service_of(name)
    timers = [*service.stored_kinds(service.timers)]  # they may rightly wait
    query = "SELECT count(*) FROM effects WHERE kind <> ALL($1::text[])"
    books.waiting[f"{name} effects"] = await connection.fetchval(query, timers)
    if name == "inventory":
        query = f"SELECT sku, {', '.join(PIECES)} FROM stock"  # noqa: S608 - own names
        stock = await connection.fetch(query)
        books.stock = {r["sku"]: {k: r[k] for k in PIECES} for r in stock}


async def _read_loyalty(redis: Redis, books: Books) -> None:
    async for key, order in hashes(redis, "loyalty:order:"):
        if b"detail" in order:
            status = order[b"status"].decode()
            books.rows["loyalty"][key] = StoredRow(status, from_json(order[b"detail"]))
    async for key, customer in hashes(redis, "loyalty:customer:"):
        books.customers[key] = int(customer.get(b"points", 0))
    books.waiting["loyalty outbox rows"] = await redis.xlen("loyalty:outbox")
    books.waiting["loyalty parked keys"] = await redis.zcard("loyalty:parked-keys")
