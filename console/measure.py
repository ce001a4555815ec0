"""python -m console.measure: how long queries and whole pages take over a million orders.

The database is one of its own, in PostgreSQL that it starts, and filled by PostgreSQL itself: some 10 GB, and
some minutes. It prints milliseconds of each: the middle one of five, and the slowest. A page is timed from
the request to its last byte, in the process that makes it, without a network, and no service answers. Exit
code 1: a page takes longer than it may, in the middle.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from statistics import median
from typing import Any, Final

import httpx

from chassis import clock
from chassis.health import Condition
from chassis.http import Gate
from chassis.postgres import Connection, PostgresDatabase
from console.dropping import AT_ONCE, drop_settled
from console.model import EVERYTHING, Filter, ReaderState
from console.queries import Queries
from console.web.app import make_console
from saga_cli.stack import servers, with_console
from saga_cli.topology import CONSOLE

ORDERS: Final = 1_000_000
AGAIN: Final = 5
PAGE_MS: Final = 300.0
"""What a page may take at ORDERS, in the middle of AGAIN times."""
FILL: Final = (
    """
INSERT INTO orders
SELECT made.id, made.state, CASE WHEN n <= 2000 THEN 'payment' ELSE '' END,
    CASE WHEN n <= 2000 THEN 'payment:Capture' WHEN n <= 60000 THEN 'shipping:DispatchDue' ELSE '' END,
    at, at + interval '2 s', at, CASE WHEN n > 2000 THEN at + interval '1 s' END,
    CASE WHEN n > 60000 THEN at + interval '2 s' END, 'c-' || n % 50000, 9899, 'EUR',
    md5(n::text), CASE WHEN made.state = 'Cancelled' THEN 'reason_' || n % 7 ELSE '' END, '', NULL, NULL,
    1, 10, '{"order": [2, "Confirmed", "2026-01-01T00:00:00+00:00"]}'
FROM generate_series(1, $1::int) AS n, LATERAL (SELECT now() - n * interval '2 s' AS at) AS times,
    LATERAL (SELECT
        substr(made7, 1, 8) || '-' || substr(made7, 9, 4) || '-7' || substr(made7, 14, 3) || '-8' ||
            substr(made7, 18, 3) || '-' || substr(made7, 21, 12) AS id,
        CASE WHEN n <= 2000 THEN 'Pending' WHEN n % 10 = 0 THEN 'Cancelled' ELSE 'Confirmed' END AS state
        FROM (SELECT lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || md5(n::text) AS made7)
            AS numbers) AS made
""",
    """
INSERT INTO waits SELECT edges, id, newest_at FROM orders WHERE edges <> ''
""",
    """
INSERT INTO events (order_id, service, sequence, id, type, time, causation_id, causation_type, topic,
    partition, "offset", trace_id, payload)
SELECT o.id, step.service, step.sequence, md5(o.id || step.type)::uuid, step.type,
    o.began_at + step.nth * interval '100 ms', coalesce(md5(o.id || step.cause)::uuid::text, 'command'),
    step.causation_type, step.service || '.forward', 1, 1, o.trace_id,
    '{"order_id": "' || repeat('x', 250) || '"}'
FROM orders AS o, (VALUES
    (0, 'order', 1, 'order.placed.v1', NULL, 'PlaceOrder'),
    (1, 'inventory', 1, 'stock.reserved.v1', 'order.placed.v1', 'order.placed.v1'),
    (2, 'payment', 1, 'payment.capture_requested.v1', 'stock.reserved.v1', 'stock.reserved.v1'),
    (3, 'payment', 2, 'payment.captured.v1', NULL, 'CaptureSucceeded'),
    (4, 'shipping', 1, 'shipment.booking_requested.v1', 'payment.captured.v1', 'payment.captured.v1'),
    (5, 'shipping', 2, 'shipment.created.v1', NULL, 'Booked'),
    (6, 'loyalty', 1, 'points.awarded.v1', 'shipment.created.v1', 'shipment.created.v1'),
    (7, 'order', 2, 'order.confirmed.v1', 'points.awarded.v1', 'points.awarded.v1'),
    (8, 'inventory', 2, 'stock.committed.v1', 'order.confirmed.v1', 'order.confirmed.v1'),
    (9, 'shipping', 3, 'shipment.approved.v1', 'order.confirmed.v1', 'order.confirmed.v1')
) AS step (nth, service, sequence, type, cause, causation_type)
WHERE o.id > $1 AND o.id <= $2
""",
    """
INSERT INTO order_references
SELECT 'shp_' || md5(id), id, 'shipment_id' FROM orders
UNION ALL SELECT 'pay_' || md5(id), id, 'provider_ref' FROM orders
""",
)
EDGES_OF_ID: Final = """
SELECT max(id) FROM (SELECT id, ntile(20) OVER (ORDER BY id) AS part FROM orders) AS parts
GROUP BY part ORDER BY part
"""


async def fill(connection: Connection, orders: int) -> None:
    made, waits, events, references = FILL
    await connection.execute(made, orders)
    await connection.execute(waits)
    first = ""
    for (last,) in await connection.fetch(EDGES_OF_ID):
        await connection.execute(events, first, last)
        first = last
    await connection.execute(references)
    await connection.execute("VACUUM ANALYZE")


def cases(queries: Queries, some: dict[str, Any]) -> dict[str, Callable[[], Awaitable[Any]]]:
    """By what is asked: pages, counts, and each other query."""
    now = clock.now()
    filters = {
        "all": EVERYTHING,
        "state Confirmed": Filter(states=frozenset({"Confirmed"})),
        "two states": Filter(states=frozenset({"Pending", "Cancelled"})),
        "step payment": Filter(steps=frozenset({"payment"})),
        "edge of few": Filter(edges=frozenset({"payment:Capture"})),
        "edge of many": Filter(edges=frozenset({"shipping:DispatchDue"})),
        "reason": Filter(reasons=frozenset({"reason_0"})),
        "reason and state": Filter(
            reasons=frozenset({"reason_0"}), states=frozenset({"Confirmed"})
        ),
        "customer": Filter(customers=frozenset({"c-7"})),
        "in flight": Filter(in_flight=True),
        "in flight, older": Filter(in_flight=True, older=timedelta(minutes=30)),
        "waiting": Filter(waiting=timedelta(days=3)),
        "beginning of an id": Filter(text=some["id"][:9]),
        "a day": Filter(placed_from=now - timedelta(days=4), placed_until=now - timedelta(days=3)),
    }
    found: dict[str, Callable[[], Awaitable[Any]]] = {}
    for name, wanted in filters.items():
        found[f"orders, {name}"] = partial(queries.orders, wanted)
        found[f"count, {name}"] = partial(queries.count, wanted)
    return found | {
        "standing": queries.standing,
        "order": partial(queries.order, some["id"]),
        "find, order": partial(queries.find, some["id"]),
        "find, reference": partial(queries.find, some["reference"]),
        "find, nothing": partial(queries.find, "nothing"),
        "at, a day ago": partial(queries.at, now - timedelta(days=1)),
        "at, now": partial(queries.at, now),
        "changes": partial(queries.changes_since, some["position"] - 400),
        "reasons": queries.reasons,
    }


def pages(http: httpx.AsyncClient, some: dict[str, Any]) -> dict[str, Callable[[], Awaitable[Any]]]:
    """By path."""
    past = (clock.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%MZ")
    order = f"/orders/{some['id']}"
    paths = (
        *("/", f"/?at={past}", "/orders", "/orders?filter=state:confirmed"),
        *("/orders?filter=flight:yes", "/orders?filter=edge:payment:Capture", "/orders.csv"),
        *("/orders?filter=customer:c-7 state:cancelled", "/orders?filter=older:5m waiting:1m"),
        *(
            order,
            f"{order}/parts",
            f"{order}/services",
            f"/compare?a={some['id']}&b={some['other']}",
        ),
        *(f"/find?q={some['reference']}", "/find?q=nothing", f"/find?q={some['id'][:6]}"),
        *("/map", "/services", "/failures"),
        *("/process", "/process?filter=state:cancelled reason:reason_0"),
    )
    return {path: partial(_page, http, path) for path in paths}


async def _page(http: httpx.AsyncClient, path: str) -> None:
    """Raises httpx.HTTPStatusError for an error; where it is sent on to, it goes."""
    answer = await http.get(path, follow_redirects=True)
    answer.raise_for_status()


async def nothing_fails() -> tuple[Condition, ...]:
    return ()


Times = dict[str, Sequence[float]]
"""Milliseconds by what was asked."""


async def measure(database: PostgresDatabase, orders: int) -> Times:
    """Over a database that is empty before. Raises httpx.HTTPStatusError where a page has an error."""
    connection = await database.connect(server_settings={"synchronous_commit": "off"})
    began = clock.monotonic()
    await fill(connection, orders)
    some = {
        "id": await connection.fetchval("SELECT id FROM orders OFFSET 300 LIMIT 1"),
        "other": await connection.fetchval("SELECT id FROM orders OFFSET 301 LIMIT 1"),
        "reference": await connection.fetchval("SELECT reference FROM order_references LIMIT 1"),
        "position": await connection.fetchval("SELECT max(position) FROM events"),
    }
    size = await connection.fetchval("SELECT pg_size_pretty(pg_database_size(current_database()))")
    await connection.close()
    print(f"{orders} orders, {size}, filled in {clock.monotonic() - began:.0f} s")
    queries = await Queries.connect(database, lambda: ReaderState(0, clock.now()))
    app = make_console(queries, {}, Gate("console", None), nothing_fails)
    transport = httpx.ASGITransport(app)
    found: Times = {}
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as http:
        for name, ask in (cases(queries, some) | pages(http, some)).items():
            found[name] = [await _ms(ask) for _ in range(AGAIN)]
    await app.state.console.close()
    await queries.close()
    return found | await measure_dropping(database)


async def measure_dropping(database: PostgresDatabase) -> Times:
    """Last, as it changes what is there."""
    found: Times = {}
    connection = await database.connect(server_settings={"synchronous_commit": "off"})
    oldest = await connection.fetchval("SELECT min(quiet_at) FROM orders")
    if oldest is not None:
        keep = clock.now() - oldest - timedelta(days=1)
        drop = partial(drop_settled, connection, keep)
        found[f"drop {AT_ONCE} orders"] = [await _ms(drop) for _ in range(AGAIN * 4)]
    await connection.close()
    return found


async def _ms(ask: Callable[[], Awaitable[Any]]) -> float:
    began = clock.monotonic()
    await ask()
    return (clock.monotonic() - began) * 1000


def main() -> None:
    orders = int(sys.argv[1]) if sys.argv[1:] else ORDERS
    made = servers.start()
    try:
        with_console.make_database(made.addresses)
        database = PostgresDatabase.at(made.addresses.owner_url(CONSOLE))
        found = asyncio.run(measure(database, orders))
    finally:
        made.stop()
    slow = slow_pages(found)
    for name, times in found.items():
        mark = "  slow" if name in slow else ""
        print(f"{name[:72]:72}{median(times):8.1f}{max(times):8.1f}{mark}")
    sys.exit(1 if slow else 0)


def slow_pages(found: Times) -> list[str]:
    """Pages are named by their paths."""
    return [name for name, ms in found.items() if name[0] == "/" and median(ms) > PAGE_MS]


if __name__ == "__main__":
    main()
