"""The work itself, the same for every peer: tables, and the steps as plain SQL in a session.

A step answers whether it was done; one that was refused has changed nothing. Whether it may run twice
is for each peer to prevent.
"""

from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import CursorResult, text
from sqlalchemy.orm import Session

from bench.peers.mix import CUSTOMERS, DECLINED, FORBIDDEN, SKUS, SOLD_OUT, SUSPENDED, MixOrder

Stage = Callable[[Session, MixOrder], bool]
PLENTY: Final = 1_000_000_000


def _array(names: Iterable[str]) -> str:
    return "ARRAY[" + ", ".join(f"'{name}'" for name in names) + "]"


TABLES: Final = {
    "order": """
        CREATE TABLE orders (id text PRIMARY KEY, customer text NOT NULL, status text NOT NULL)""",
    "inventory": f"""
        CREATE TABLE stock (
            sku text PRIMARY KEY, available bigint NOT NULL, reserved bigint NOT NULL DEFAULT 0);
        INSERT INTO stock (sku, available) SELECT unnest({_array(SKUS)}), {PLENTY};
        INSERT INTO stock (sku, available) VALUES ('{SOLD_OUT}', 0)""",  # noqa: S608 - own names
    "payment": """
        CREATE TABLE payments (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            order_id text NOT NULL, kind text NOT NULL, amount_minor bigint NOT NULL,
            UNIQUE (order_id, kind))""",
    "shipping": """
        CREATE TABLE shipments (
            order_id text PRIMARY KEY, country text NOT NULL, status text NOT NULL)""",
    "loyalty": f"""
        CREATE TABLE customers (
            id text PRIMARY KEY, points bigint NOT NULL DEFAULT 0, suspended boolean NOT NULL);
        CREATE TABLE points (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            order_id text NOT NULL, customer text NOT NULL, points bigint NOT NULL);
        INSERT INTO customers (id, suspended)
            SELECT id, id = ANY({_array(SUSPENDED)}) FROM unnest({_array(CUSTOMERS)}) AS id""",  # noqa: S608 - own names
}  # fmt: skip
"""Made and filled, by service; a peer may hold them in one database or in five."""

_PLACE = text("INSERT INTO orders (id, customer, status) VALUES (:id, :customer, 'PENDING')")
_END = text("UPDATE orders SET status = :status WHERE id = :id")
_RESERVE = text(
    "UPDATE stock SET available = available - :quantity, reserved = reserved + :quantity"
    " WHERE sku = :sku AND available >= :quantity"
)
_PAY = text("INSERT INTO payments (order_id, kind, amount_minor) VALUES (:id, :kind, :amount)")
_SHIP = text("INSERT INTO shipments (order_id, country, status) VALUES (:id, :country, 'CREATED')")
_CANCEL_SHIPMENT = text("UPDATE shipments SET status = 'CANCELLED' WHERE order_id = :id")
_AWARD = text(
    "UPDATE customers SET points = points + :points WHERE id = :customer AND NOT suspended"
)
_NOTE_POINTS = text(
    "INSERT INTO points (order_id, customer, points) VALUES (:id, :customer, :points)"
)


def place(session: Session, order: MixOrder) -> bool:
    return _run(session, _PLACE, id=order.id, customer=order.customer)


def confirm(session: Session, order: MixOrder) -> bool:
    return _run(session, _END, id=order.id, status="CONFIRMED")


def cancel(session: Session, order: MixOrder) -> bool:
    return _run(session, _END, id=order.id, status="CANCELLED")


def reserve(session: Session, order: MixOrder) -> bool:
    for n, (sku, quantity) in enumerate(order.lines):
        if not _run(session, _RESERVE, sku=sku, quantity=quantity):
            for earlier, reserved in order.lines[:n]:
                _run(session, _RESERVE, sku=earlier, quantity=-reserved)
            return False
    return True


def release(session: Session, order: MixOrder) -> bool:
    return all(_run(session, _RESERVE, sku=sku, quantity=-q) for sku, q in order.lines)


def capture(session: Session, order: MixOrder) -> bool:
    if order.token == DECLINED:
        return False
    return _run(session, _PAY, id=order.id, kind="captured", amount=order.total_minor)


def refund(session: Session, order: MixOrder) -> bool:
    return _run(session, _PAY, id=order.id, kind="refunded", amount=order.total_minor)


def ship(session: Session, order: MixOrder) -> bool:
    if order.country == FORBIDDEN:
        return False
    return _run(session, _SHIP, id=order.id, country=order.country)


def cancel_shipment(session: Session, order: MixOrder) -> bool:
    return _run(session, _CANCEL_SHIPMENT, id=order.id)


def award(session: Session, order: MixOrder) -> bool:
    if not _run(session, _AWARD, customer=order.customer, points=order.points):
        return False
    return _run(session, _NOTE_POINTS, id=order.id, customer=order.customer, points=order.points)


CHAIN: Final[tuple[tuple[str, Stage, Stage | None], ...]] = (
    ("inventory", reserve, release),
    ("payment", capture, refund),
    ("shipping", ship, cancel_shipment),
    ("loyalty", award, None),
)
"""The steps between placing and confirming, each with what undoes it; nothing comes after the last."""


def saga(order: MixOrder) -> Generator[tuple[Stage, MixOrder], bool, None]:
    """The steps of an order, one after the other: is sent whether each was done."""
    yield place, order
    undo: list[Stage] = []
    for _, step, back in CHAIN:
        if not (yield step, order):
            for done in (*reversed(undo), cancel):
                yield done, order
            return
        undo += [back] if back else []
    yield confirm, order


async def carried_out(order: MixOrder, run: Callable[[Stage, MixOrder], Awaitable[bool]]) -> None:
    steps = saga(order)
    with suppress(StopIteration):
        step = next(steps)
        while True:
            step = steps.send(await run(*step))


def _run(session: Session, statement: Any, **values: Any) -> bool:
    """Whether a row was changed."""
    done: CursorResult[Any] = session.execute(statement, values)  # type: ignore[assignment]
    return done.rowcount == 1
