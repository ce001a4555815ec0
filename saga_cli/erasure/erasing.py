"""One transaction of the order service's database erases; its tombstones have all others follow."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any, Final

from guarantees.counts import counted
from saga_cli.clients import database
from saga_cli.erasure.record import ErasureRecord
from saga_cli.targets import Targets
from shared_events.catalog import CUSTOMERS, DELIVERY_DETAILS, PAYMENT_DETAILS
from shared_events.pseudonyms import is_pseudonym

OF_AN_ORDER: Final = (DELIVERY_DETAILS, PAYMENT_DETAILS)
SETTLED: Final = ("Confirmed", "Cancelled")
PSEUDONYMS: Final = (
    'SELECT pseudonym FROM customers WHERE customer_id = $1 ORDER BY pseudonym COLLATE "C"'
)
ORDERS: Final = "SELECT order_id, status FROM orders WHERE customer_id = ANY($1::text[]) FOR UPDATE"
ORDER: Final = "SELECT order_id, status FROM orders WHERE order_id = $1 FOR UPDATE"
ERASE: Final = (
    "DELETE FROM outbox WHERE topic = $1 AND key = $2",  # first: what a relay moves is kept then
    "DELETE FROM published WHERE topic = $1 AND key = $2",
    "INSERT INTO outbox (shard, topic, key, headers) VALUES (0, $1, $2, '[]')",
)
"""The last is a tombstone: on its way to Kafka like any row, and to its readers from there."""
FORGET: Final = "DELETE FROM customers WHERE customer_id = $1"
ANSWERS: Final = "DELETE FROM idempotency_keys WHERE right(scope, length($1)) = $1"


class OpenOrdersError(Exception):
    """Some orders are not settled: their payment or delivery needs what would be erased."""


@dataclass(frozen=True, slots=True)
class Subject:
    """`customer_id` is "" where a single order is erased. `pseudonyms` are what its events say."""

    customer_id: str
    pseudonyms: tuple[str, ...]
    orders: tuple[str, ...]

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Compacted topics, and what is erased there."""
        of_orders = list(product(OF_AN_ORDER, self.orders))
        return [*of_orders, *((CUSTOMERS, name) for name in self.pseudonyms)]

    @property
    def is_named_in_events(self) -> bool:
        """Events of release 0.2 and before name the customer; they are kept."""
        return any(not is_pseudonym(name) for name in self.pseudonyms)


async def erase_order(places: Targets, order_id: str, by: str, key: bytes) -> Subject | None:
    """None for an order that there is not. Raises OpenOrdersError, with nothing erased."""
    async with database(places.store_of("order")) as connection, connection.transaction():
        rows = await connection.fetch(ORDER, order_id)
        if not rows:
            return None
        subject = Subject("", (), _settled(rows))
        await _erase(connection, subject, ErasureRecord(order_id, _now(), by, "", (order_id,)), key)
        return subject


async def erase_customer(places: Targets, customer_id: str, by: str, key: bytes) -> Subject:
    """One of whom nothing is known has nothing to erase. Raises OpenOrdersError, with nothing erased."""
    async with database(places.store_of("order")) as connection, connection.transaction():
        pseudonyms = tuple(row[0] for row in await connection.fetch(PSEUDONYMS, customer_id))
        names = {*pseudonyms} | (set() if is_pseudonym(customer_id) else {customer_id})
        orders = _settled(await connection.fetch(ORDERS, sorted(names)))
        if orders and not pseudonyms:  # orders of release 0.2 and before, and none since
            pseudonyms = (customer_id,)
        subject = Subject(customer_id, pseudonyms, orders)
        for pseudonym in pseudonyms:
            record = ErasureRecord(_id_of(pseudonym, orders), _now(), by, _shown(pseudonym), orders)
            await _erase(connection, subject, record, key)
        await connection.execute(FORGET, customer_id)
        await connection.execute(ANSWERS, f" by {customer_id}")
        return subject


async def _erase(connection: Any, subject: Subject, record: ErasureRecord, key: bytes) -> None:
    for (topic, of), statement in product(subject.keys, ERASE):
        await connection.execute(statement, topic, of)
    await record.write(connection, key)


def _settled(rows: list[Any]) -> tuple[str, ...]:
    if is_open := sorted(row[0] for row in rows if row[1] not in SETTLED):
        shown = ", ".join(is_open[:3])
        number = counted(len(is_open), "order is", "orders are")
        raise OpenOrdersError(
            f"{number} not settled, such as {shown}: let them settle, or cancel them"
        )
    return tuple(sorted(row[0] for row in rows))


def _shown(pseudonym: str) -> str:
    """A record names no customer."""
    return pseudonym if is_pseudonym(pseudonym) else ""


def _id_of(pseudonym: str, orders: tuple[str, ...]) -> str:
    return pseudonym if is_pseudonym(pseudonym) else f"orders {orders[0] if orders else '-'}"


def _now() -> datetime:
    return datetime.now(UTC)
