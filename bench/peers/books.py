"""The tables of a peer held against the mix, when all is done."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from bench.peers.mix import Ending, MixOrder, ending_of

PAID: Final[Mapping[Ending, frozenset[str]]] = {
    "confirmed": frozenset({"captured"}),
    "undeliverable": frozenset({"captured", "refunded"}),
    "suspended": frozenset({"captured", "refunded"}),
}
SHIPPED: Final[Mapping[Ending, str]] = {"confirmed": "CREATED", "suspended": "CANCELLED"}
ORDERS: Final = "SELECT id, status FROM orders"
PAYMENTS: Final = (
    "SELECT order_id, array_agg(kind), array_agg(amount_minor) FROM payments GROUP BY 1"
)
SHIPMENTS: Final = "SELECT order_id, status FROM shipments"
STOCK: Final = "SELECT sku, reserved FROM stock WHERE reserved <> 0"
BALANCES: Final = "SELECT id, points FROM customers WHERE points <> 0"
POINTS: Final = "SELECT customer, sum(points)::bigint FROM points GROUP BY 1"


@dataclass(frozen=True, slots=True)
class PeerBooks:
    """`wrong` counts orders, SKUs and customers that are not as the mix demands."""

    confirmed: int
    cancelled: int
    wrong: int


async def check(urls: Mapping[str, str], orders: Sequence[MixOrder], measured: range) -> PeerBooks:
    """Read each service's tables, of the database that `urls` names for it.

    All orders have to be right; `measured` are the numbers of those whose endings are counted.
    """
    states = dict(await _rows(urls["order"], ORDERS))
    payments = {i: (kinds, set(a)) for i, kinds, a in await _rows(urls["payment"], PAYMENTS)}
    shipments = dict(await _rows(urls["shipping"], SHIPMENTS))
    wrong = len(set(states) ^ {order.id for order in orders})
    for order in orders:
        ending = ending_of(order.number)
        kinds, amounts = payments.get(order.id, ([], set()))
        wrong += (
            states.get(order.id) != ("CONFIRMED" if ending == "confirmed" else "CANCELLED")
            or sorted(kinds) != sorted(PAID.get(ending, ()))
            or not amounts <= {order.total_minor}
            or shipments.get(order.id) != SHIPPED.get(ending)
        )
    wrong += await _shared_rows_wrong(urls, orders)
    found = Counter(states.get(order.id) for order in orders if order.number in measured)
    return PeerBooks(found["CONFIRMED"], found["CANCELLED"], wrong)


async def _shared_rows_wrong(urls: Mapping[str, str], orders: Iterable[MixOrder]) -> int:
    """How many SKUs and customers differ from the sums over confirmed orders."""
    reserved: Counter[str] = Counter()
    points: Counter[str] = Counter()
    for order in orders:
        if ending_of(order.number) == "confirmed":
            reserved.update(dict(order.lines))
            points[order.customer] += order.points
    found = (
        (await _rows(urls["inventory"], STOCK), reserved),
        (await _rows(urls["loyalty"], BALANCES), points),
        (await _rows(urls["loyalty"], POINTS), points),
    )
    return sum(len({key for key, _ in set(rows) ^ set(due.items())}) for rows, due in found)


async def _rows(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()
