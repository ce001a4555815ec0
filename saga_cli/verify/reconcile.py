"""Reads the five databases and says whether every order is settled, whole and undone in order.

An operator's check, not a service: it looks into all databases, which no service may.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from importlib import import_module
from typing import Any, Final

import asyncpg
from pydantic_core import from_json
from redis.asyncio import Redis

from chassis.events import topic_of
from guarantees.judge import PIECES, Books, JudgeReport, StoredRow, judge
from guarantees.services import WITH_DATABASE
from saga_cli.history.reading import logged
from saga_cli.log.kafka import kept_of
from saga_cli.log.reader import read, records
from saga_cli.topology import BY_NAME, Addresses, store_of

LOOK_AGAIN_S: Final = 0.2
OPEN_ORDERS: Final = "SELECT count(*) FROM orders WHERE status NOT IN ('Confirmed', 'Cancelled')"


async def reconcile(addresses: Addresses, expected: Iterable[str] = ()) -> JudgeReport:
    """Check G1, G2, G3, G4, G6 and G7 of every order; `expected` are acknowledged order ids (G5)."""
    books = await read_books(addresses)
    return judge(books, await read(addresses.kafka_bootstrap), expected)


async def settled(addresses: Addresses, expected: Collection[str], seconds: float) -> JudgeReport:
    """Reconcile once nothing is on its way, again until all is well, or the time is over.

    What is on its way is counted in the databases; the log is read when nothing is.
    """
    deadline = time.monotonic() + seconds
    while True:
        is_late = time.monotonic() > deadline
        if is_late or not await _on_the_way(addresses):
            report = await reconcile(addresses, expected)
            if report.is_clean or is_late:
                return report
        await asyncio.sleep(LOOK_AGAIN_S)


async def _on_the_way(addresses: Addresses) -> int:
    """Open orders, and events that are not published."""
    found = 0
    for name in WITH_DATABASE:
        connection = await asyncpg.connect(store_of(addresses, name))
        try:
            found += await connection.fetchval("SELECT count(*) FROM outbox")
            if name == "order":
                found += await connection.fetchval(OPEN_ORDERS)
        finally:
            await connection.close()
    return found


async def reconcile_at(
    where: Callable[[str], str], bootstrap: str, unread: list[str]
) -> JudgeReport:
    """The same, with the URL of each service's store from `where`.

    A record that is no event of its topic's owner counts for nothing; one that can't be read is said
    in `unread`.
    """
    books = await books_at(where)
    kept = [kept_of(record) for record in await records(bootstrap)]
    events = filter(None, (logged(each, unread) for each in kept))
    return judge(books, [e for e in events if topic_of(e.envelope.source[1:]) == e.topic])


def timers_of(name: str) -> list[str]:
    """What may rightly wait: a timer is not work that is owed."""
    service = import_module(f"{BY_NAME[name].module}.service").SERVICE
    return [*service.stored_kinds(service.timers)]


async def read_books(addresses: Addresses) -> Books:
    return await books_at(partial(store_of, addresses))


async def books_at(where: Callable[[str], str]) -> Books:
    books = Books()
    for name, manifest in WITH_DATABASE.items():
        connection = await asyncpg.connect(where(name))
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await _read_database(connection, name, manifest.table, books)
        finally:
            await connection.close()
    await _read_loyalty(where("loyalty"), books)
    return books


async def _read_database(connection: Any, name: str, table: str, books: Books) -> None:
    """Its rows at one instant: stock and reservations change together."""
    rows = await connection.fetch(f"SELECT order_id, status, detail FROM {table}")  # noqa: S608
    books.rows[name] = {r[0]: StoredRow(r[1], from_json(r[2])) for r in rows}
    for what in ("outbox", "parked"):
        count = await connection.fetchval(f"SELECT count(*) FROM {what}")  # noqa: S608
        books.waiting[f"{name} {what} rows"] = count
    query = "SELECT count(*) FROM effects WHERE kind <> ALL($1::text[])"
    books.waiting[f"{name} effects"] = await connection.fetchval(query, timers_of(name))
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
