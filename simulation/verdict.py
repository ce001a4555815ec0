"""What must hold when the faults are over: everything settled, agreed, and the fold of its log."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from chassis.decide import adapter_of
from chassis.events import Envelope, dead_letters_of
from chassis.kafka import is_consumed
from chassis.replay import Folded, InTurn, fold
from guarantees.judge import PIECES, Books, StoredRow, judge
from guarantees.services import BY_NAME
from inventory_svc import domain as inventory
from loyalty_svc.store import KEYS, LAYOUT, PSEUDONYMS
from order_svc import domain as order
from payment_svc import domain as payment
from shared_events.catalog import CATALOG, CUSTOMERS
from shared_events.codec import decode
from shipping_svc import domain as shipping
from simulation.checks import place_of_original
from simulation.hostile import is_parked, is_rubbish
from simulation.providers import money_of

if TYPE_CHECKING:
    from simulation.system import SimulatedSystem


@dataclass(frozen=True, slots=True)
class Logged:
    topic: str
    envelope: Envelope
    partition: int


def unsettled(system: "SimulatedSystem") -> str:
    """What is still on its way; "" when nothing is."""
    for name, database in system.databases.items():
        timers = system.services[name].timers
        if database.outbox:
            return f"{name} has {len(database.outbox)} outbox rows"
        if effects := [e for e in database.effects.values() if e.kind not in timers]:
            return (
                f"{name} waits for {len(effects)} effects, {effects[0].id} {effects[0].last_error}"
            )
        if database.parked:
            return f"{name} has parked {len(database.parked)}"
    for order_id, row in system.databases["order"].own.items():
        if not isinstance(row.state, order.Confirmed | order.Cancelled):
            return f"order {order_id} is {type(row.state).__name__}"
    return loyalty_waits(system) or system.move.left() or unread(system)


def unread(system: "SimulatedSystem") -> str:
    """Which group has not committed the end of a partition that it reads; all read lanes in the end."""
    for name, service in system.services.items():
        for topic in service.topics:
            for record in last_records(system, topic):
                if not is_read(system, name, record):
                    return f"{name} has not read {topic}/{record.partition} to its end"
    return ""


def last_records(system: "SimulatedSystem", topic: str) -> Iterator[Any]:
    """Of each partition that is not empty."""
    for partition in system.broker.numbers_of(topic):
        yield from system.broker.log(topic, partition)[-1:]


def is_read(system: "SimulatedSystem", service: str, record: Any) -> bool:
    place = TopicPartition(record.topic, record.partition)
    committed: int = system.broker.group(service).offsets.get(place, (0, ""))[0]
    return committed > int(record.offset)


def loyalty_waits(system: "SimulatedSystem") -> str:
    data = system.redis.data.values
    if KEYS.epoch.encode() not in data:
        return "loyalty has no data"
    for key in (KEYS.outbox, KEYS.parked_keys):
        if held := data.get(key.encode()):
            return f"loyalty has {len(held)} in {key}"
    return ""


def check(system: "SimulatedSystem") -> None:
    """G1 to G8 of every order, over the books, the log and the bank's ledger."""
    logged = list(events(system, *BY_NAME))
    books = books_of(system)
    for violation in judge(books, logged, system.shop.acknowledged).violations:
        guarantee, _, what = violation.partition(" ")
        system.watch.broken(guarantee, what)
    for order_id, row in system.databases["payment"].own.items():
        _check_money(system, order_id, row.state)
    for order_id, row in system.databases["shipping"].own.items():
        _check_booking(system, order_id, row.state)
    _check_fold(system, logged)
    _check_dead_letters(system)
    _check_customers(system)


def _check_money(system: "SimulatedSystem", order_id: str, state: Any) -> None:
    """What payment believes is what the bank has done."""
    charges, refunded = money_of(system.bank.entries.get(order_id, []))
    match state:
        case payment.Captured(captured_minor=captured):
            believed = (captured, 0)
        case payment.Refunded(captured=capture, refunded_minor=back):
            believed = (capture.captured_minor, back)
        case _:
            believed = (0, 0)
    if (sum(charges), refunded) != believed:
        system.watch.broken(
            "G2", f"{order_id}: the bank has {charges} and gave {refunded} back, not {believed}"
        )


def _check_customers(system: "SimulatedSystem") -> None:
    """Loyalty knows whom each pseudonym of the log stands for, through each loss of its Redis."""
    held = system.redis.data.values.get(PSEUDONYMS.place.encode(), {})
    for record in records(system, CUSTOMERS):
        if is_rubbish(record):
            continue
        (customer_id,) = PSEUDONYMS.values_of(record) or (None,)
        if held.get(record.key, b"").decode() != (customer_id or ""):
            system.watch.broken("G8", f"loyalty does not know who {record.key!r} is")


def _check_booking(system: "SimulatedSystem", order_id: str, state: Any) -> None:
    """What shipping believes is what the carrier has done."""
    names = {name for name, _ in system.carrier.entries.get(order_id, [])}
    is_live = "Booked" in names and "BookingCancelled" not in names
    believed = isinstance(state, shipping.Created | shipping.Approved | shipping.Leaving)
    if is_live != believed:
        system.watch.broken(
            "G2", f"{order_id}: the carrier has {sorted(names)}, shipping {type(state).__name__}"
        )
    row = system.databases["inventory"].own.get(order_id)
    if isinstance(state, shipping.Dispatched) != isinstance(row and row.state, inventory.Shipped):
        kind = type(row and row.state).__name__
        system.watch.broken("G6", f"{order_id}: stock {kind}, shipment {type(state).__name__}")


def _check_dead_letters(system: "SimulatedSystem") -> None:
    """I9: rubbish is kept by everyone who read it, with the place where it stood."""
    for name, service in system.services.items():
        copies = system.broker.log(dead_letters_of(name), 0)
        kept = {place_of_original(copy.headers) for copy in copies}
        topics = sorted(service.read_topics.union(service.topics))
        for record in (r for topic in topics for r in records(system, topic)):
            is_kept = is_parked(record, is_consumed=is_consumed(service, record))
            if is_kept and is_read(system, name, record):
                place = (record.topic, record.partition, record.offset)
                if place not in kept:
                    system.watch.broken("I9", f"{name} kept nothing of {place}")


def _check_fold(system: "SimulatedSystem", logged: list[Logged]) -> None:
    """G8: each service's rows are the fold of its own events, with no effect on the way."""
    for name, database in system.databases.items():
        folded = _fold(system, name, logged, database.own.items())
        if system.services[name].combined is not None:
            _compare(system, f"{name}'s shared rows", dict(database.shared), folded.shared)
    _fold(system, "loyalty", logged, loyalty_orders(system))


def _fold(
    system: "SimulatedSystem", name: str, logged: list[Logged], rows: Iterable[tuple[str, Any]]
) -> Folded:
    """A service's own events, folded; its orders are compared with its rows."""
    own = (entry.envelope for entry in logged if entry.envelope.source == f"/{name}")
    folded = fold(system.services[name], InTurn().take(own), Folded())
    live = {key: (row.version, row.state) for key, row in rows}
    rebuilt = {key: (row.version, row.state) for key, row in folded.own.items()}
    _compare(system, f"{name}'s orders", live, rebuilt)
    return folded


def _compare(
    system: "SimulatedSystem", what: str, live: dict[str, Any], rebuilt: dict[str, Any]
) -> None:
    for key in live.keys() | rebuilt.keys():
        if live.get(key) != rebuilt.get(key):
            system.watch.broken(
                "G8", f"{what}: {key} is {live.get(key)}, rebuilt {rebuilt.get(key)}"
            )
            return


def events(system: "SimulatedSystem", *services: str) -> Iterator[Logged]:
    """Every event of the services' topics; rubbish has none."""
    for service in services:
        for topic in CATALOG.log_of(service):
            for record in records(system, topic):
                if not is_rubbish(record):
                    envelope = decode(record.value, record.headers)
                    yield Logged(record.topic, envelope, record.partition)


def records(system: "SimulatedSystem", topic: str) -> Iterator[Any]:
    for partition in system.broker.numbers_of(topic):
        yield from system.broker.log(topic, partition)


def books_of(system: "SimulatedSystem") -> Books:
    books = Books()
    for name, database in system.databases.items():
        books.rows[name] = {key: _row(row.state) for key, row in database.own.items()}
    for sku, level in system.databases["inventory"].shared.items():
        books.stock[sku] = {name: getattr(level, name) for name in PIECES}
    books.rows["loyalty"] = {key: _row(row.state) for key, row in loyalty_orders(system)}
    prefix = LAYOUT.shared_key("").encode()
    for key, found in system.redis.data.values.items():
        if key.startswith(prefix):
            books.customers[key.removeprefix(prefix).decode()] = int(found.get(b"points", 0))
    return books


def _row(state: Any) -> StoredRow:
    kind = type(state)
    return StoredRow(kind.__name__, adapter_of(kind).dump_python(state))


def loyalty_orders(system: "SimulatedSystem") -> Iterator[tuple[str, Any]]:
    prefix = LAYOUT.own_key("").encode()
    for key, found in system.redis.data.values.items():
        if key.startswith(prefix) and found.get(b"status"):
            row = LAYOUT.own.row_of(found[b"version"], found[b"status"], found[b"detail"])
            yield key.removeprefix(prefix).decode(), row
