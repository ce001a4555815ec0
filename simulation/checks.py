"""Checks what can be checked at once: at each commit, each record in Kafka, each entry of a ledger.

Guarantees G1 to G9 are those of docs/architecture.md; I1 to I10 restate them for one step.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from pydantic_core import from_json

from chassis.decide import cause_of, effect_of
from chassis.events import dead_letters_of, identity_of, type_of
from chassis.message import Decided, Message, OutboxRow, Outcome, PendingEffect
from chassis.service import Service
from guarantees.protocol import INTENTS, LAST, PRECEDENTS
from guarantees.services import BY_NAME
from inventory_svc.domain import Level
from shared_events.catalog import CATALOG
from simulation.hostile import is_rubbish
from simulation.providers import money_of

PERSONAL: Final = b"Ada Private"
PAID_WITH: Final = b'"tok_'
"""How a payment token begins."""
EVER: Final = datetime(2000, 1, 1, tzinfo=UTC)
SIGNS: Final = {"stock.received.v1": 1, "stock.written_off.v1": -1}


def pieces_in(row: OutboxRow) -> int:
    """How many more pieces there are by an event: they are only moved by all but these."""
    sign = SIGNS.get(identity_of(type_of(row.headers)), 0)
    quantity: int = from_json(row.value or b"")["quantity"] if sign else 0
    return sign * quantity


def place_of_original(headers: Iterable[tuple[str, bytes | None]]) -> tuple[str, int, int]:
    """Topic, partition and offset of what a dead letter is a copy of."""
    found = dict(headers)
    names = ("dlq_topic", "dlq_partition", "dlq_offset")
    topic, partition, offset = ((found[name] or b"").decode() for name in names)
    return topic, int(partition), int(offset)


class ViolationError(AssertionError):
    """A guarantee is broken. `guarantee` is its name, such as "G4"."""

    def __init__(self, guarantee: str, what: str) -> None:
        super().__init__(f"{guarantee} {what}")
        self.guarantee = guarantee


@dataclass(slots=True)
class Watch:
    """All that was committed and published so far, as far as the checks need it."""

    committed: dict[str, str] = field(default_factory=dict)
    published: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    consumed: dict[str, set[str]] = field(default_factory=dict)
    sequences: dict[tuple[str, str], int] = field(default_factory=dict)
    ended: dict[tuple[str, str], str] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    done: set[tuple[str, UUID]] = field(default_factory=set)
    forgetful: set[str] = field(default_factory=set)
    """Services that lost a part of their memory: their rules alone keep repeats harmless (I10)."""
    violations: list[ViolationError] = field(default_factory=list)

    def broken(self, guarantee: str, what: str) -> None:
        self.violations.append(ViolationError(guarantee, what))

    def committed_rows(self, service: str, rows: Iterable[Any]) -> None:
        """Outbox rows of one commit, as the service's database has them from now on."""
        for row in rows:
            if row.topic not in CATALOG.log_of(service):
                continue
            headers = dict(row.headers)
            wire_type, id_ = identity_of(type_of(row.headers)), headers["ce_id"].decode()
            if id_ in self.committed:
                self.broken("G4", f"{wire_type} of {row.key} was decided twice")
            self.committed[id_] = wire_type
            self._in_its_place(service, wire_type, row.key)

    def copies(
        self, service: str, rows: Iterable[OutboxRow], parked: Collection[tuple[str, int, int]]
    ) -> None:
        """Copies of dead letters in one commit, and the places of which the service keeps the letter."""
        for row in rows:
            if row.topic == dead_letters_of(service):
                place = place_of_original(row.headers)
                if place not in parked:
                    self.broken(
                        "I9", f"{service} publishes a dead letter of {place}, and keeps none"
                    )

    def decided(
        self, service: str, messages: Sequence[Message], outcomes: Sequence[Outcome]
    ) -> None:
        """What came of a batch, after its commit."""
        for message, outcome in zip(messages, outcomes, strict=True):
            if not isinstance(outcome, Decided) or service in self.forgetful:
                continue
            if (service, message.id) in self.done:
                self.broken(
                    "I7",
                    f"{service} decided twice on {cause_of(CATALOG, message)} of {message.key}",
                )
            self.done.add((service, message.id))

    def relays(self, service: str, process: str, *, leads: bool) -> None:
        """A process asks for what it may publish."""
        if not leads:
            self.broken("R7", f"{process} relays for {service} without the lock")

    def _in_its_place(self, service: str, wire_type: str, key: str) -> None:
        wanted, seen = PRECEDENTS.get(wire_type), self.consumed.get(key, set())
        if wanted is not None and not wanted & seen:
            self.broken("G3", f"{wire_type} of {key} without {' or '.join(sorted(wanted))}")
        if last := self.ended.get((service, key)):
            self.broken("I8", f"{wire_type} of {key} after {last}")
        if wire_type in LAST:
            self.ended[service, key] = wire_type

    def levels(self, levels: dict[str, Level], received: Iterable[tuple[str, int]]) -> None:
        """The stock after one commit, and what came in or was written off in it."""
        for sku, quantity in received:
            self.received[sku] = self.received.get(sku, 0) + quantity
        for sku, level in levels.items():
            if min(level.available, level.reserved, level.committed, level.shipped) < 0:
                self.broken("G6", f"{sku} is oversold: {level}")
            if level.received != self.received.get(sku, 0):
                self.broken("G6", f"{sku} has {level.received}, received {self.received.get(sku)}")

    def outstanding(
        self, service: Service, key: str, state: Any, kept: Iterable[PendingEffect]
    ) -> None:
        """What an order's state waits for, against the effects and timers that are kept for it."""
        outstanding_effects = {
            effect_of(service, key, what, "").id
            for what in service.outstanding_effects(state, key, EVER)
        }
        has = {effect.id for effect in kept}
        if outstanding_effects != has:
            name = f"{service.name}'s {type(state).__name__} {key}"
            self.broken(
                "G8", f"{name} expects {sorted(outstanding_effects)}, kept are {sorted(has)}"
            )

    def appended(self, record: Any) -> None:
        """A record stands in Kafka."""
        if record.topic in CATALOG.compacted or is_rubbish(record):
            return
        if any(mark in (record.value or b"") for mark in (PERSONAL, PAID_WITH)):
            self.broken("G9", f"{record.topic} holds personal or card data")
        wire_type = identity_of(type_of(record.headers))
        if wire_type not in CATALOG.by_type or record.topic.endswith(".dead-letters"):
            return
        headers = dict(record.headers)
        key, id_ = record.key.decode(), headers["ce_id"].decode()
        service = CATALOG.by_type[wire_type].owner
        if id_ in self.published:
            if self.published[id_] != (record.value, headers["ce_sequence"]):
                self.broken("G4", f"{wire_type} of {key} was decided in two ways")
            return
        self.published[id_] = (record.value, headers["ce_sequence"])
        if not BY_NAME[service].has_database:  # what Redis commits is seen in Kafka only
            self._in_its_place(service, wire_type, key)
        elif id_ not in self.committed:
            self.broken("I6", f"{wire_type} of {key} was never committed")
        self._in_order(service, key, int(headers["ce_sequence"]), wire_type)
        self.consumed.setdefault(key, set()).add(wire_type)

    def _in_order(self, service: str, key: str, sequence: int, wire_type: str) -> None:
        last = self.sequences.get((service, key), 0)
        if sequence != last + 1 and sequence != 0:
            self.broken("G7", f"{wire_type} of {key} is number {sequence} after {last}")
        self.sequences[service, key] = max(sequence, last)

    def asked(self, order_id: str, entries: list[tuple[str, Any]]) -> None:
        """Nobody outside does what the log does not know was intended."""
        effect = type(entries[-1][1]).__name__
        if INTENTS[effect] not in self.consumed.get(order_id, ()):
            self.broken("G8", f"{effect} of {order_id} was asked for before its intent was kept")

    def money(self, order_id: str, entries: list[tuple[str, Any]]) -> None:
        """The bank's own ledger of one order."""
        self.asked(order_id, entries)
        charges, refunded = money_of(entries)
        if len(charges) > 1:
            self.broken("G4", f"{order_id} was charged {len(charges)} times")
        if refunded > sum(charges):
            self.broken("G4", f"{order_id}: {refunded} of {sum(charges)} were given back")
        if sum(name == "RefundSucceeded" for name, _ in entries) > 1:
            self.broken("G4", f"{order_id} was refunded twice")

    def bookings(self, order_id: str, entries: list[tuple[str, Any]]) -> None:
        """The carrier's own ledger of one order."""
        self.asked(order_id, entries)
        names = [name for name, _ in entries]
        for name in ("Booked", "HandedOver", "BookingCancelled"):
            if names.count(name) > 1:
                self.broken("G4", f"{order_id}: the carrier has {names.count(name)} x {name}")
        if "HandedOver" in names and "BookingCancelled" in names:
            self.broken("G2", f"{order_id} was handed over and cancelled")
