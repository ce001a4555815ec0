"""saga reconcile: are all orders settled, complete, and undone in order, by all databases and the log?

An operator's check, not a service: it looks into all databases, which no service may.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict
from typing import Any, Final

import typer
from pydantic_core import from_json
from redis.asyncio import Redis

from chassis.events import topic_of
from guarantees.declared import service_of
from guarantees.judge import PIECES, Books, JudgeReport, StoredRow, judge
from guarantees.services import WITH_DATABASE
from saga_cli.clients import database, in_one_line
from saga_cli.log.kafka import kept_of
from saga_cli.log.reader import logged, print_unread, records
from saga_cli.targets import Targets, found
from saga_cli.terminal import console, print_json, write_violations
from saga_cli.topology import Addresses

SHOWN: Final = 20
LOOK_AGAIN_S: Final = 0.2
OPEN_ORDERS: Final = "SELECT count(*) FROM orders WHERE status NOT IN ('Confirmed', 'Cancelled')"
StoreOf = Callable[[str], str]
"""The URL of a service's store, by the service's name."""


def run(seconds: float, *, as_json: bool) -> None:
    """Print the report on the orders once they are settled, or after so many seconds."""
    unread: list[str] = []
    with in_one_line():
        report = asyncio.run(_looked(found(), time.monotonic() + seconds, unread))
    print_unread(unread)
    if as_json:
        print_json(asdict(report))
    else:
        states = ", ".join(f"{n} {state}" for state, n in sorted(report.states.items())) or "none"
        console.print(f"{report.orders} orders ({states}), {report.events} events in the log")
        write_violations(report.violations, SHOWN)
        if report.is_clean:
            console.print("[green]All books agree: G1 to G4, G6 and G7 hold.[/]")
    if not report.is_clean:
        raise typer.Exit(1)


async def _looked(places: Targets, deadline: float, unread: list[str]) -> JudgeReport:
    while True:
        unread.clear()
        report = await reconcile(places.store_of, places.kafka_bootstrap, unread=unread)
        if report.is_clean or time.monotonic() >= deadline:
            return report
        await asyncio.sleep(LOOK_AGAIN_S)


async def settled(addresses: Addresses, expected: Collection[str], seconds: float) -> JudgeReport:
    """Reconcile once nothing is on its way, again until all is well, or the time is over.

    What is on its way is counted in the databases; the log is read when nothing is.
    """
    deadline = time.monotonic() + seconds
    while True:
        is_late = time.monotonic() > deadline
        if is_late or not await _on_the_way(addresses):
            report = await reconcile(addresses.store_of, addresses.kafka_bootstrap, expected)
            if report.is_clean or is_late:
                return report
        await asyncio.sleep(LOOK_AGAIN_S)


async def _on_the_way(addresses: Addresses) -> int:
    """Open orders, and events that are not published."""
    found = 0
    for name in WITH_DATABASE:
        async with database(addresses.store_of(name)) as connection:
            found += await connection.fetchval("SELECT count(*) FROM outbox")
            if name == "order":
                found += await connection.fetchval(OPEN_ORDERS)
    return found


async def reconcile(
    store_of: StoreOf,
    bootstrap: str,
    expected: Iterable[str] = (),
    *,
    unread: list[str] | None = None,
) -> JudgeReport:
    """Check G1, G2, G3, G4, G6 and G7 of every order; `expected` are acknowledged order ids (G5).

    A record that is no event of its topic's owner counts for nothing; one that can't be read is noted
    in `unread`.
    """
    books, bad = await read_books(store_of), [] if unread is None else unread
    events = [logged(kept_of(record), bad) for record in await records(bootstrap)]
    own = [e for e in events if e and topic_of(e.envelope.source[1:]) == e.topic]
    return judge(books, own, expected)


async def read_books(store_of: StoreOf) -> Books:
    books = Books()
    for name, manifest in WITH_DATABASE.items():
        async with (
            database(store_of(name)) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await _read_database(connection, name, manifest.table, books)
    await _read_loyalty(store_of("loyalty"), books)
    return books


async def _read_database(connection: Any, name: str, table: str, books: Books) -> None:
    """Its rows at one instant: stock and reservations change together."""
    rows = await connection.fetch(f"SELECT order_id, status, detail FROM {table}")  # noqa: S608
    books.rows[name] = {r[0]: StoredRow(r[1], from_json(r[2])) for r in rows}
    for what in ("outbox", "parked"):
        count = await connection.fetchval(f"SELECT count(*) FROM {what}")  # noqa: S608
        books.waiting[f"{name} {what} rows"] = count
    service = service_of(name)
    timers = [*service.stored_kinds(service.timers)]  # they may rightly wait
    query = "SELECT count(*) FROM effects WHERE kind <> ALL($1::text[])"
    books.waiting[f"{name} effects"] = await connection.fetchval(query, timers)
    if name == "inventory":
        query = f"SELECT sku, {', '.join(PIECES)} FROM stock"  # noqa: S608
        stock = await connection.fetch(query)
        books.stock = {r["sku"]: {k: r[k] for k in PIECES} for r in stock}


async def _read_loyalty(url: str, books: Books) -> None:
    redis = Redis.from_url(url, decode_responses=True)
    try:
        async for key in redis.scan_iter("loyalty:order:*", count=1000):
            status, detail = await redis.hmget(key, ["status", "detail"])
            if status is not None and detail is not None:
                books.rows["loyalty"][key.split(":", 2)[2]] = StoredRow(
                    str(status), from_json(detail)
                )
        async for key in redis.scan_iter("loyalty:customer:*", count=1000):
            books.customers[key.split(":", 2)[2]] = int(await redis.hget(key, "points") or 0)
        books.waiting["loyalty outbox rows"] = await redis.xlen("loyalty:outbox")
        books.waiting["loyalty parked keys"] = await redis.zcard("loyalty:parked-keys")
    finally:
        await redis.aclose()
