"""A small shop's log, told event by event: two days, two currencies, every kind of end."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from chassis.events import Envelope, event_id
from chassis.kafka.topics import partition_of
from chassis.message import Record
from saga_cli.log.reader import TOPICS
from saga_cli.log.source import LogPartition
from shared_events.catalog import CATALOG
from shared_events.codec import encode
from shared_events.inventory import StockCommitted, StockRejected, StockReleased, StockReserved
from shared_events.loyalty import PointsAwarded, PointsDeducted
from shared_events.order import (
    OrderCancellationRequested,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
)
from shared_events.payment import (
    PaymentCaptured,
    PaymentCaptureRequested,
    PaymentDeclined,
    PaymentRefunded,
)
from shared_events.shipping import ShipmentCancelled, ShipmentCreated
from tests.cli.memory_log import MemoryLog
from tests.support.records import TRACE, an_order

DAY_ONE: Final = datetime(2026, 3, 1, 23, 50, tzinfo=UTC)
DAY_TWO: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
PARTITIONS: Final = (0, 1, 2)
PLACES: Final = [LogPartition(topic, number) for topic in TOPICS for number in PARTITIONS]


def order_id(at: datetime, number: int = 1) -> str:
    """As the services make it up: it holds its instant."""
    return str(UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | number))


@dataclass
class OrderLog:
    log: MemoryLog = field(default_factory=lambda: MemoryLog({place: [] for place in PLACES}))
    sequences: dict[tuple[str, str], int] = field(default_factory=dict)

    def says(self, event: Any, at: datetime, cause: str = "elsewhere", again: int = 1) -> str:
        """Publish an event, or more than once; returns its id."""
        entry = CATALOG.entry_of(event)
        subject = entry.subject_of(event)
        number = self.sequences[subject, entry.owner] = (
            self.sequences.get((subject, entry.owner), 0) + 1
        )
        id_ = event_id(subject, entry.wire_type, getattr(event, "attempt", 1))
        source = f"/{entry.owner}"
        result = (
            id_,
            entry.wire_type,
            source,
            subject,
            at,
            number,
            subject,
            cause,
            TRACE,
            event,
            "",
            "",
        )
        names = Envelope.__dataclass_fields__
        value, headers = encode(Envelope(**dict(zip(names, result, strict=True))))
        partition = partition_of(subject.encode(), PARTITIONS)
        record = Record(entry.topic, partition, 0, subject.encode(), value, tuple(headers))
        for _ in range(again):
            self.log.append(record, at)
        return str(id_)

    def confirmed(self, id_: str, at: datetime, ms: int = 100, **changes: Any) -> str:
        """Forward to the end, a step every so many milliseconds; returns the confirmation's id."""
        order = an_order(id_, placed_at=at, deadline=at + timedelta(hours=1), **changes)
        steps = [at + timedelta(milliseconds=ms * n) for n in range(8)]
        cause = self.says(OrderPlaced(order=order), steps[0])
        cause = self.says(StockReserved(order=order), steps[1], cause, again=2)
        self.says(PaymentCaptureRequested(order=order), steps[2], cause)
        captured = PaymentCaptured(
            order=order, captured_minor=order.total_minor, provider_ref="p-1"
        )
        cause = self.says(captured, steps[3])
        cause = self.says(ShipmentCreated(order=order, shipment_id="s-1"), steps[4], cause)
        awarded = PointsAwarded(order_id=id_, customer_id="alice", points=10)
        cause = self.says(awarded, steps[5], cause)
        cause = self.says(OrderConfirmed(order_id=id_), steps[6], cause)
        self.says(StockCommitted(order_id=id_, lines=order.lines), steps[7], cause)
        return cause

    def returned(self, id_: str, at: datetime, captured: int, fee: int, currency: str) -> None:
        """All the way back from a confirmed order."""
        why: dict[str, Any] = {"order_id": id_, "reason": "customer", "refused_by": "order"}
        money: dict[str, Any] = {"refunded_minor": captured - fee, "fee_minor": fee}
        times = iter(at + timedelta(seconds=n) for n in range(6))
        asked = OrderCancellationRequested(order_id=id_, reason="customer")
        cause = self.says(asked, next(times))
        deducted = PointsDeducted(order_id=id_, customer_id="alice", points=10, reason="customer")
        cause = self.says(deducted, next(times), cause)
        cause = self.says(ShipmentCancelled(**why), next(times), cause)
        refunded = PaymentRefunded(**why, **money, captured_minor=captured, currency=currency)
        cause = self.says(refunded, next(times), cause)
        cause = self.says(StockReleased(**why, **money, lines=()), next(times), cause)
        self.says(OrderCancelled(**why, **money), next(times), cause)

    def refused(self, id_: str, at: datetime, reason: str) -> None:
        """Declined by payment, or out of stock."""
        order = an_order(id_, placed_at=at, deadline=at + timedelta(hours=1))
        cause = self.says(OrderPlaced(order=order), at)
        if reason == "out_of_stock":
            cause = self.says(StockRejected(order_id=id_, reason=reason), at, cause)
        else:
            cause = self.says(StockReserved(order=order), at + timedelta(milliseconds=40), cause)
            cause = self.says(PaymentDeclined(order_id=id_, reason=reason), at, cause)
            given: dict[str, Any] = {"reason": reason, "refused_by": "payment"}
            cause = self.says(StockReleased(order_id=id_, lines=(), **given), at, cause)
        by = "inventory" if reason == "out_of_stock" else "payment"
        ended = OrderCancelled(order_id=id_, reason=reason, refused_by=by)
        self.says(ended, at + timedelta(seconds=1), cause)


def a_shop() -> OrderLog:
    shop = OrderLog()
    for n, ms in enumerate((100, 200, 400)):
        shop.confirmed(order_id(DAY_ONE, n), DAY_ONE + timedelta(seconds=n), ms)
    shop.refused(order_id(DAY_ONE, 8), DAY_ONE, "out_of_stock")
    shop.refused(order_id(DAY_ONE, 9), DAY_ONE, "card_declined")
    shop.confirmed(order_id(DAY_TWO), DAY_TWO, total_minor=2500, currency="SEK")
    shop.returned(order_id(DAY_ONE, 0), DAY_TWO + timedelta(hours=1), 1000, 140, "EUR")
    shop.refused(order_id(DAY_TWO, 7), DAY_TWO, "card_declined")
    shop.log.append(Record("order.facts", 0, 0, b"\xff", b"\xff{", (("ce_type", b"\xff"),)))
    result = next(k[0] for p, k in shop.log.kept.items() if p.topic == "order.forward" and k)
    forged = tuple((k, b"/nobody" if k == "ce_source" else v) for k, v in result.headers)
    shop.log.append(Record("payment.forward", 1, 0, result.key, result.value, forged), DAY_TWO)
    return shop
