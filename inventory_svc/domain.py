"""Inventory: holds stock for an order, sells it when the order is confirmed, or gives it back.

consumes   OrderPlaced, OrderCancellationRequested, OrderConfirmed from order;
           PaymentDeclined, PaymentRefunded from payment
publishes  StockReserved, StockRejected, StockReleased, StockCommitted, StockReceived,
           StockCancellationNoted
state      Absent -> Reserved -> Committed | Released, or Rejected; Noted is a tombstone
repeats    a fact that comes twice, or too late, decides nothing
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple, TypeAlias

from inventory_svc.messages import ReceiveStock, SetStock
from shared_events.decision import Decision, Refusal, impossible, nothing, publish
from shared_events.inventory import (
    StockCancellationNoted,
    StockCommitted,
    StockReceived,
    StockRejected,
    StockReleased,
    StockReserved,
)
from shared_events.order import OrderCancellationRequested, OrderConfirmed, OrderPlaced
from shared_events.payment import PaymentDeclined, PaymentRefunded
from shared_events.values import Line


@dataclass(frozen=True, slots=True)
class Absent:
    """Never heard of."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Cancelled before it was seen: the tombstone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Pieces of one SKU: on hand = available + reserved + committed."""

    available: int = 0
    reserved: int = 0
    committed: int = 0
    receipts: int = 0

    @property
    def on_hand(self) -> int:
        return self.available + self.reserved + self.committed


Reservation: TypeAlias = Absent | Noted | Reserved | Committed | Released | Rejected


class State(NamedTuple):
    reservation: Reservation
    levels: Mapping[str, Level]


Input: TypeAlias = (
    SetStock
    | ReceiveStock
    | OrderPlaced
    | OrderCancellationRequested
    | OrderConfirmed
    | PaymentDeclined
    | PaymentRefunded
)
Event: TypeAlias = (
    StockReserved
    | StockRejected
    | StockReleased
    | StockCommitted
    | StockReceived
    | StockCancellationNoted
)
INITIAL = Absent()


def decide(state: State, message: Input, at: datetime) -> Decision | Refusal:
    match message:
        case OrderPlaced():
            return reserve(state, message, at)
        case OrderCancellationRequested():
            return note_cancellation(state.reservation, message)
        case OrderConfirmed():
            return commit(state.reservation, message)
        case PaymentDeclined():
            declined = StockReleased(
                order_id=message.order_id, lines=(), reason=message.reason, refused_by="payment"
            )
            return release(state.reservation, declined)
        case PaymentRefunded():
            refunded = StockReleased(
                order_id=message.order_id,
                lines=(),
                reason=message.reason,
                refused_by=message.refused_by,
                refunded_minor=message.refunded_minor,
                fee_minor=message.fee_minor,
            )
            return release(state.reservation, refunded)
        case SetStock():
            level = state.levels.get(message.sku, Level())
            return receive(level, message.sku, message.on_hand - level.on_hand)
        case ReceiveStock():
            return receive(state.levels.get(message.sku, Level()), message.sku, message.quantity)


def evolve(state: State, event: Event) -> State:
    match event:
        case StockReserved(order=order):
            levels = _moved(state.levels, order.lines, available=-1, reserved=1)
            return State(Reserved(lines=order.lines), levels)
        case StockRejected(reason=reason):
            return State(Rejected(reason=reason), state.levels)
        case StockReleased(reason=reason, lines=lines):
            if isinstance(state.reservation, Committed):
                return State(
                    Released(reason=reason), _moved(state.levels, lines, available=1, committed=-1)
                )
            return State(
                Released(reason=reason), _moved(state.levels, lines, available=1, reserved=-1)
            )
        case StockCommitted(lines=lines):
            return State(
                Committed(lines=lines), _moved(state.levels, lines, reserved=-1, committed=1)
            )
        case StockReceived(sku=sku, quantity=quantity, attempt=attempt):
            level = state.levels.get(sku, Level())
            level = replace(level, available=level.available + quantity, receipts=attempt)
            return State(state.reservation, {**state.levels, sku: level})
        case StockCancellationNoted():
            return State(Noted(), state.levels)


def reserve(state: State, message: OrderPlaced, at: datetime) -> Decision:
    """All lines or none."""
    order = message.order
    match state.reservation:
        case Reserved() | Committed() | Released() | Rejected():
            return nothing("decided before")
        case Noted():
            return _reject(order.order_id, "cancelled")
        case Absent():
            pass
    if at > order.deadline:
        return _reject(order.order_id, "deadline_exceeded")
    wanted: dict[str, int] = {}
    for line in order.lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
    for sku, quantity in wanted.items():
        if state.levels.get(sku, Level()).available < quantity:
            return _reject(order.order_id, "out_of_stock")
    return publish(StockReserved(order=order))


def release(reservation: Reservation, released: StockReleased) -> Decision:
    match reservation:
        case Reserved(lines=lines) | Committed(lines=lines):
            return publish(replace(released, lines=lines))
        case Released():
            return nothing("released before")
        case Absent() | Noted() | Rejected():
            return impossible("a payment was undone that no reservation led to")


def commit(reservation: Reservation, message: OrderConfirmed) -> Decision:
    match reservation:
        case Reserved(lines=lines):
            return publish(StockCommitted(order_id=message.order_id, lines=lines))
        case Committed():
            return nothing("committed before")
        case Released():
            return nothing("a cancellation came first by another topic")
        case Absent() | Noted() | Rejected():
            return impossible("an order was confirmed that holds no stock")


def note_cancellation(reservation: Reservation, message: OrderCancellationRequested) -> Decision:
    match reservation:
        case Absent():
            noted = StockCancellationNoted(order_id=message.order_id, reason=message.reason)
            return publish(noted)
        case Noted() | Reserved() | Committed() | Released() | Rejected():
            return nothing("the order was passed on: downstream answers")


def receive(level: Level, sku: str, quantity: int) -> Decision | Refusal:
    if quantity == 0:
        return nothing("the stock stands")
    if level.available + quantity < 0:
        return Refusal(
            "stock_in_use", f"{level.reserved + level.committed} pieces of {sku!r} are held"
        )
    return publish(StockReceived(sku=sku, quantity=quantity, attempt=level.receipts + 1))


def joined(one: Level, other: Level) -> Level:
    """Two parts of a SKU's history, from different partitions: pieces add up."""
    return Level(
        available=one.available + other.available,
        reserved=one.reserved + other.reserved,
        committed=one.committed + other.committed,
        receipts=max(one.receipts, other.receipts),
    )


def _reject(order_id: str, reason: str) -> Decision:
    return publish(StockRejected(order_id=order_id, reason=reason))


def _moved(
    levels: Mapping[str, Level],
    lines: tuple[Line, ...],
    *,
    available: int = 0,
    reserved: int = 0,
    committed: int = 0,
) -> Mapping[str, Level]:
    moved = dict(levels)
    for line in lines:
        level = moved.get(line.sku, Level())
        moved[line.sku] = replace(
            level,
            available=level.available + available * line.quantity,
            reserved=level.reserved + reserved * line.quantity,
            committed=level.committed + committed * line.quantity,
        )
    return moved
