"""Reads the five databases and says whether every order is settled, whole and undone in order.

An operator's check, not a service: it looks into all databases, which no service may.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

import asyncpg
from pydantic_core import from_json
from redis.asyncio import Redis

from saga_cli.log_reader import Logged, by_order, read
from saga_cli.topology import BY_NAME, Addresses

COMPENSATIONS: Final = (
    "points.deducted.v1",
    "shipment.cancelled.v1",
    "payment.refunded.v1",
    "stock.released.v1",
    "order.cancelled.v1",
)
ONCE: Final = (
    *COMPENSATIONS,
    "order.placed.v1",
    "order.confirmed.v1",
    "stock.reserved.v1",
    "stock.committed.v1",
    "payment.captured.v1",
    "shipment.created.v1",
)


@dataclass(frozen=True, slots=True)
class Row:
    status: str
    detail: Mapping[str, Any]


@dataclass(slots=True)
class Books:
    """What each database holds, by order; and the stock by SKU."""

    orders: dict[str, Row] = field(default_factory=dict)
    reservations: dict[str, Row] = field(default_factory=dict)
    payments: dict[str, Row] = field(default_factory=dict)
    shipments: dict[str, Row] = field(default_factory=dict)
    points: dict[str, Row] = field(default_factory=dict)
    customers: dict[str, int] = field(default_factory=dict)
    stock: dict[str, Mapping[str, int]] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Report:
    """`violations` name the guarantee that each breaks."""

    orders: int
    states: dict[str, int]
    violations: list[str]
    events: int = 0

    @property
    def is_clean(self) -> bool:
        return not self.violations


async def reconcile(addresses: Addresses, expected: Iterable[str] = ()) -> Report:
    """Check G1, G2, G3, G4, G6 and G7 of every order; `expected` are acknowledged order ids (G5)."""
    books = await read_books(addresses)
    logged = await read(addresses.kafka_bootstrap)
    violations = [f"G5 {o}: acknowledged, but unknown" for o in expected if o not in books.orders]
    histories = by_order(logged)
    for order_id, order in books.orders.items():
        history = histories.get(order_id, [])
        if not history:
            violations.append(f"G5 in the database, but not in Kafka ({order_id})")
        violations += [f"{problem} ({order_id})" for problem in _of_order(books, order_id, order)]
        violations += [f"{problem} ({order_id})" for problem in _of_history(history)]
    violations += _of_stock(books) + _of_points(books) + _of_sequences(logged)
    violations += [f"G1 {n} {what} wait" for what, n in books.waiting.items() if n]
    states: dict[str, int] = {}
    for row in books.orders.values():
        states[row.status] = states.get(row.status, 0) + 1
    return Report(len(books.orders), states, violations, len(logged))


def _of_order(books: Books, order_id: str, order: Row) -> list[str]:
    """G1 and G2."""
    nothing = Row("Absent", {})
    held = books.reservations.get(order_id, nothing).status
    paid = books.payments.get(order_id, nothing)
    shipped = books.shipments.get(order_id, nothing).status
    points = books.points.get(order_id, nothing).status
    if order.status == "Confirmed":
        wrong = {
            "stock is not committed": held != "Committed",
            "money is not captured": paid.status != "Captured",
            "wrong amount": paid.detail.get("captured_minor")
            != order.detail["order"]["total_minor"],
            "no live shipment": shipped not in {"Approved", "Dispatching", "Dispatched"},
            "points are not awarded": points != "Awarded",
        }
    elif order.status == "Cancelled":
        wrong = {
            "stock is held": held in {"Reserved", "Committed"},
            "money is held": paid.status in {"Capturing", "Captured", "Refunding"},
            "refund and fee are not what was captured": paid.status == "Refunded"
            and paid.detail["captured"]["captured_minor"]
            != paid.detail["refunded_minor"] + paid.detail["fee_minor"],
            "a shipment is live": shipped not in {"Absent", "Noted", "Rejected", "Cancelled"},
            "points are kept": points == "Awarded",
        }
    else:
        return [f"G1 not settled: {order.status}"]
    return [f"G2 {order.status.lower()}, but {what}" for what, is_so in wrong.items() if is_so]


def _of_history(history: list[Logged]) -> list[str]:
    """G3 and G4: compensations in reverse order, each event once, the end only at the end."""
    types = [entry.envelope.type for entry in history]
    problems = [f"G4 {name} twice" for name in ONCE if types.count(name) > 1]
    undone = [name for name in types if name in COMPENSATIONS]
    if undone != sorted(undone, key=COMPENSATIONS.index):
        problems.append(f"G3 undone out of order: {undone}")
    pairs = (
        ("payment.captured.v1", "payment.refunded.v1"),
        ("stock.reserved.v1", "stock.released.v1"),
        ("shipment.created.v1", "shipment.cancelled.v1"),
    )
    if "order.cancelled.v1" in types:
        problems += [f"G3 cancelled without {b}" for a, b in pairs if a in types and b not in types]
    return problems


def _of_stock(books: Books) -> list[str]:
    """G6: the levels are what the reservations say, and never below zero."""
    held: dict[str, dict[str, int]] = {}
    for row in books.reservations.values():
        if row.status in {"Reserved", "Committed"}:
            for line in row.detail["lines"]:
                sums = held.setdefault(line["sku"], {"reserved": 0, "committed": 0})
                sums[row.status.lower()] += line["quantity"]
    problems = []
    for sku, level in books.stock.items():
        sums = held.get(sku, {"reserved": 0, "committed": 0})
        if any(level[name] != sums[name] for name in sums) or min(level.values()) < 0:
            problems.append(f"G6 stock of {sku} is {dict(level)}, its reservations say {sums}")
    return problems


def _of_points(books: Books) -> list[str]:
    """G2: a customer's points are the sum of what is awarded."""
    sums: dict[str, int] = {}
    for row in books.points.values():
        if row.status == "Awarded":
            customer = row.detail["customer_id"]
            sums[customer] = sums.get(customer, 0) + row.detail["points"]
    customers = set(sums) | set(books.customers)
    return [
        f"G2 {c} has {books.customers.get(c, 0)} points, awards say {sums.get(c, 0)}"
        for c in sorted(customers)
        if sums.get(c, 0) != books.customers.get(c, 0)
    ]


def _of_sequences(logged: list[Logged]) -> list[str]:
    """G7: a service's events of one order stand in its topic in the order of decision, no gap."""
    last: dict[tuple[str, str], int] = {}
    problems = []
    for entry in logged:
        envelope = entry.envelope
        place = (entry.topic, envelope.subject)
        if envelope.sequence > last.get(place, 0) + 1:
            problems.append(f"G7 {envelope.type} of {envelope.subject} skips a number")
        last[place] = max(envelope.sequence, last.get(place, 0))
    return problems


def timers_of(name: str) -> list[str]:
    """What may rightly wait: a timer is not work that is owed."""
    service = import_module(f"{BY_NAME[name].module}.service").SERVICE
    return [kind.__name__ for kind in service.timers]


async def read_books(addresses: Addresses) -> Books:
    books = Books()
    tables = {
        "order": "orders",
        "inventory": "reservations",
        "payment": "payments",
        "shipping": "shipments",
    }
    for name, table in tables.items():
        connection = await asyncpg.connect(addresses.database_url(BY_NAME[name]))
        try:
            rows = await connection.fetch(f"SELECT order_id, status, detail FROM {table}")  # noqa: S608
            setattr(books, table, {r[0]: Row(r[1], from_json(r[2])) for r in rows})
            for what in ("outbox", "parked"):
                count = await connection.fetchval(f"SELECT count(*) FROM {what}")  # noqa: S608
                books.waiting[f"{name} {what} rows"] = count
            query = "SELECT count(*) FROM effects WHERE kind <> ALL($1::text[])"
            books.waiting[f"{name} effects"] = await connection.fetchval(query, timers_of(name))
            if name == "inventory":
                query = "SELECT sku, available, reserved, committed FROM stock"
                stock = await connection.fetch(query)
                books.stock = {r["sku"]: {k: r[k] for k in list(r.keys())[1:]} for r in stock}
        finally:
            await connection.close()
    await _read_loyalty(addresses, books)
    return books


async def _read_loyalty(addresses: Addresses, books: Books) -> None:
    redis = Redis.from_url(
        f"{addresses.redis_url}/{BY_NAME['loyalty'].redis_database}", decode_responses=True
    )
    try:
        async for key in redis.scan_iter("loyalty:order:*", count=1000):
            status, detail = await redis.hmget(key, ["status", "detail"])
            if status is not None and detail is not None:
                books.points[key.split(":", 2)[2]] = Row(str(status), from_json(detail))
        async for key in redis.scan_iter("loyalty:customer:*", count=1000):
            books.customers[key.split(":", 2)[2]] = int(await redis.hget(key, "points") or 0)
        books.waiting["loyalty outbox rows"] = await redis.xlen("loyalty:outbox")
        books.waiting["loyalty parked keys"] = await redis.zcard("loyalty:parked-keys")
    finally:
        await redis.aclose()
