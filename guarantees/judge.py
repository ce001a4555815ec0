"""What each guarantee means for the databases and their log, whoever has read them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from chassis.events import Envelope, identity_of
from guarantees.protocol import COMPENSATIONS, SETTLED, STEPS, UNSEEN
from guarantees.services import SERVICES
from shared_events.catalog import CATALOG

ONCE: Final = frozenset(
    entry.identity
    for entry in CATALOG.entries
    if entry.is_of_a_saga
    and entry.topic not in CATALOG.compacted
    and "attempt" not in entry.event.__dataclass_fields__
)
"""Events that are decided at most once for an order: the others count their attempts."""


@dataclass(frozen=True, slots=True)
class StoredRow:
    status: str
    detail: Mapping[str, Any]


ABSENT: Final = StoredRow("Absent", {})


@dataclass(slots=True)
class Books:
    """What each service's store holds, by order: `rows["payment"]`; and the stock by SKU."""

    rows: dict[str, dict[str, StoredRow]] = field(
        default_factory=lambda: {manifest.name: {} for manifest in SERVICES}
    )
    customers: dict[str, int] = field(default_factory=dict)
    stock: dict[str, Mapping[str, int]] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)

    def row(self, service: str, order_id: str) -> StoredRow:
        return self.rows[service].get(order_id, ABSENT)


PIECES: Final = ("available", "reserved", "committed", "shipped", "returned")
"""What is known of a SKU's pieces."""
HOLDING: Final = {"Reserved": "reserved", "Committed": "committed", "Shipped": "shipped"}
"""States of a reservation that account for pieces, and the field of the level that counts them."""


@dataclass(slots=True)
class JudgeReport:
    """`violations` name the guarantee that each breaks."""

    orders: int
    states: dict[str, int]
    violations: list[str]
    events: int = 0

    @property
    def is_clean(self) -> bool:
        return not self.violations


class LoggedEvent(Protocol):
    """One event and the topic in which it stands."""

    @property
    def topic(self) -> str: ...

    @property
    def envelope(self) -> Envelope: ...


class PlacedEvent(LoggedEvent, Protocol):
    """The same, with the partition of its topic."""

    @property
    def partition(self) -> int: ...


T = TypeVar("T", bound=LoggedEvent)
P = TypeVar("P", bound=PlacedEvent)


def judge(books: Books, logged: Sequence[P], expected: Iterable[str] = ()) -> JudgeReport:
    """Check G1, G2, G3, G4, G6 and G7 of every order; `expected` are acknowledged order ids (G5)."""
    violations = [
        f"G5 {o}: acknowledged, but unknown" for o in expected if o not in books.rows["order"]
    ]
    histories = by_order(logged)
    for order_id, order in books.rows["order"].items():
        history = histories.get(order_id, [])
        if not history:
            violations.append(f"G5 in the database, but not in Kafka ({order_id})")
        violations += [f"{problem} ({order_id})" for problem in of_order(books, order_id, order)]
        violations += [f"{problem} ({order_id})" for problem in of_history(history)]
    violations += of_stock(books) + of_points(books) + of_sequences(logged)
    violations += [f"G1 {n} {what} wait" for what, n in books.waiting.items() if n]
    states = dict(Counter(row.status for row in books.rows["order"].values()))
    return JudgeReport(len(books.rows["order"]), states, violations, len(logged))


def by_order(logged: Iterable[T]) -> dict[str, list[T]]:
    """Events by subject, causes before what they led to, repeats of a publish left out.

    The clocks of two services may differ, so time only sorts what no cause does.
    """
    orders: dict[str, dict[str, T]] = {}
    for entry in logged:
        known = orders.setdefault(entry.envelope.subject, {})
        known.setdefault(str(entry.envelope.id), entry)
    return {subject: _caused(events) for subject, events in orders.items()}


def causes_of(events: Iterable[LoggedEvent]) -> dict[str, str]:
    """By id of each event of a subject, the id of the event that led to it.

    Where what led to it is in no topic (a command, a timer, the outcome of a call) it is its own service's
    event before; "" for the first.
    """
    envelopes = [entry.envelope for entry in events]
    ids = {str(each.id) for each in envelopes}
    own = {(each.source, each.sequence): str(each.id) for each in envelopes}
    return {
        str(each.id): each.causation_id
        if each.causation_id in ids
        else own.get((each.source, each.sequence - 1), "")
        for each in envelopes
    }


def _caused(events: dict[str, T]) -> list[T]:
    """In the order of how many steps led to an event: its cause's, or its own service's last."""
    before: dict[tuple[str, int], str] = {}
    for id_, entry in events.items():
        before[entry.envelope.source, entry.envelope.sequence] = id_
    steps: dict[str, int] = {}
    return sorted(
        events.values(),
        key=lambda e: (_steps_to(str(e.envelope.id), events, before, steps), e.envelope.time),
    )


def _steps_to(
    id_: str,
    events: Mapping[str, LoggedEvent],
    before: Mapping[tuple[str, int], str],
    steps: dict[str, int],
) -> int:
    if id_ not in steps:
        steps[id_] = 0  # rather than go round, should a log hold a circle
        entry = events[id_]
        last = before.get((entry.envelope.source, entry.envelope.sequence - 1), "")
        led = (cause for cause in (entry.envelope.causation_id, last) if cause in events)
        longest = (_steps_to(cause, events, before, steps) for cause in led)
        steps[id_] = 1 + max(longest, default=0)
    return steps[id_]


def of_order(books: Books, order_id: str, order: StoredRow) -> list[str]:
    """G1 and G2."""
    if order.status not in SETTLED:
        return [f"G1 not settled: {order.status}"]
    rows = {step.service: books.row(step.service, order_id) for step in STEPS}
    is_confirmed = order.status == "Confirmed"
    wrong = [
        f"{step.service} is {rows[step.service].status}"
        for step in STEPS
        if rows[step.service].status
        not in (step.confirmed if is_confirmed else step.cancelled | UNSEEN)
    ]
    wrong += _confirmed(order, rows) if is_confirmed else _cancelled(rows["payment"])
    return [f"G2 {order.status.lower()}, but {what}" for what in wrong]


def _confirmed(order: StoredRow, rows: Mapping[str, StoredRow]) -> list[str]:
    """Beyond the states: the amount, and stock that leaves with its shipment only."""
    has_left = rows["inventory"].status == "Shipped" and rows["shipping"].status != "Dispatched"
    captured = rows["payment"].detail.get("captured_minor")
    wrong = {
        "stock has left without its shipment": has_left,
        "the amount is wrong": captured != order.detail["order"]["total_minor"],
    }
    return [what for what, is_so in wrong.items() if is_so]


def _cancelled(paid: StoredRow) -> list[str]:
    if paid.status != "Refunded":
        return []
    returned = paid.detail["refunded_minor"] + paid.detail["fee_minor"]
    if paid.detail["captured"]["captured_minor"] == returned:
        return []
    return ["refund and fee are not what was captured"]


def of_history(history: Sequence[LoggedEvent]) -> list[str]:
    """G3 and G4: compensations in reverse order, each event once, the end only at the end."""
    types = [identity_of(entry.envelope.type) for entry in history]
    counts = Counter(types)
    problems = [f"G4 {name} twice" for name in counts if name in ONCE and counts[name] > 1]
    undone = [name for name in types if name in COMPENSATIONS]
    if undone != sorted(undone, key=COMPENSATIONS.index):
        problems.append(f"G3 undone out of order: {undone}")
    if "order.cancelled.v1" in counts:
        problems += [
            f"G3 cancelled without {step.back}"
            for step in STEPS
            if step.forward in counts and step.back not in counts
        ]
    return problems


def of_stock(books: Books) -> list[str]:
    """G6: the levels are what the reservations say, and never below zero.

    Pieces that came back are no longer with customers, though their orders stay shipped.
    """
    held: dict[str, dict[str, int]] = {}
    for row in books.rows["inventory"].values():
        if row.status in HOLDING:
            for line in row.detail["lines"]:
                sums = held.setdefault(line["sku"], dict.fromkeys(HOLDING.values(), 0))
                sums[HOLDING[row.status]] += line["quantity"]
    problems = []
    for sku, level in books.stock.items():
        sums = held.get(sku, dict.fromkeys(HOLDING.values(), 0))
        found = {**level, "shipped": level["shipped"] + level["returned"]}
        if any(found[name] != sums[name] for name in sums) or min(level.values()) < 0:
            problems.append(f"G6 stock of {sku} is {dict(level)}, its reservations say {sums}")
    return problems


def of_points(books: Books) -> list[str]:
    """G2: a customer's points are the sum of what is awarded."""
    awarded, held = Counter[str](), Counter(books.customers)
    for row in books.rows["loyalty"].values():
        if row.status == "Awarded":
            awarded[row.detail["customer_id"]] += row.detail["points"]
    return [
        f"G2 {c} has {held[c]} points, awards say {awarded[c]}"
        for c in sorted({*awarded, *held})
        if awarded[c] != held[c]
    ]


def of_sequences(logged: Iterable[PlacedEvent]) -> list[str]:
    """G7: a service's events of one order stand in each topic in the order of decision, none missing.

    An order has two partitions of a topic that was given more of them: neither is before the other.
    """
    last: dict[tuple[str, int, str], int] = {}
    known: dict[tuple[str, str], set[int]] = {}
    problems = []
    for entry in logged:
        envelope = entry.envelope
        place = (entry.topic, entry.partition, envelope.subject)
        numbers = known.setdefault((envelope.source, envelope.subject), set())
        if envelope.sequence < last.get(place, 0) and envelope.sequence not in numbers:
            problems.append(f"G7 {envelope.type} of {envelope.subject} comes after a later one")
        numbers.add(envelope.sequence)
        last[place] = max(envelope.sequence, last.get(place, 0))
    problems += [
        f"G7 {source[1:]} skips a number of {subject}"
        for (source, subject), numbers in known.items()
        if max(numbers) > len(numbers - {0})
    ]
    return problems
