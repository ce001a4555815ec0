"""Inventory: holds stock for an order, sells it when the order is confirmed, or gives it back.

consumes   OrderPlaced, OrderCancellationRequested, OrderConfirmed from order;
           PaymentDeclined, PaymentRefunded from payment; ShipmentDispatched from shipping
publishes  StockReserved, StockRejected, StockReleased, StockCommitted, StockShipped,
           StockReceived, StockWrittenOff, StockReturned, StockCancellationNoted
state      Absent -> Reserved -> Committed -> Shipped, or Released or Rejected on the way;
           Noted is a tombstone
levels     of a SKU: received = available + reserved + committed + shipped; the first three are on
           hand, which is what a count counts
repeats    a fact that comes twice, or too late, decides nothing
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from chassis.decision import Decision, Refusal, impossible, nothing, publish
from inventory_svc.messages import ReceiveStock, ReturnStock, SetStock, WriteOffStock
from shared_events.inventory import (
    StockCancellationNoted,
    StockCommitted,
    StockReceived,
    StockRejected,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
    StockWrittenOff,
)
from shared_events.order import OrderCancellationRequested, OrderConfirmed, OrderPlaced
from shared_events.payment import PaymentDeclined, PaymentRefunded
from shared_events.shipping import ShipmentDispatched
from shared_events.values import Line

COUNTED: Final = "counted"  # the reason of a write-off that a count has led to
PIECES_MAX: Final = 10**15
"""Of a SKU, no more come in or are taken back: all that is added up of them is exact in JSON."""


@dataclass(frozen=True, slots=True)
class Absent:
    """The service has stored nothing of this order."""


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
class Shipped:
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Pieces of one SKU: received = available + reserved + committed + shipped, each >= 0.

    `shipped` pieces are with customers; `returned` ones were, and are counted here only.
    `receipts` counts the changes of the SKU itself: what came in, was written off or came back.
    """

    available: int = 0
    reserved: int = 0
    committed: int = 0
    receipts: int = 0
    shipped: int = 0
    returned: int = 0

    @property
    def on_hand(self) -> int:
        """On the shelf, sold or not."""
        return self.available + self.reserved + self.committed

    @property
    def received(self) -> int:
        """What came in, less what was written off."""
        return self.on_hand + self.shipped


Reservation: TypeAlias = Absent | Noted | Reserved | Committed | Shipped | Released | Rejected


class State(NamedTuple):
    reservation: Reservation
    levels: Mapping[str, Level]


Input: TypeAlias = (
    SetStock
    | ReceiveStock
    | WriteOffStock
    | ReturnStock
    | OrderPlaced
    | OrderCancellationRequested
    | OrderConfirmed
    | PaymentDeclined
    | PaymentRefunded
    | ShipmentDispatched
)
FIRST: Final = (OrderPlaced,)  # with which an order usually begins here
Event: TypeAlias = (
    StockReserved
    | StockRejected
    | StockReleased
    | StockCommitted
    | StockShipped
    | StockReceived
    | StockWrittenOff
    | StockReturned
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
        case ShipmentDispatched():
            return ship(state.reservation, message)
        case SetStock() | ReceiveStock() | WriteOffStock() | ReturnStock():
            return change(state.levels.get(message.sku, Level()), message)


def change(
    level: Level, command: SetStock | ReceiveStock | WriteOffStock | ReturnStock
) -> Decision | Refusal:
    match command:
        case SetStock(sku=sku, on_hand=on_hand) if on_hand < level.on_hand:
            return write_off(level, sku, level.on_hand - on_hand, COUNTED)
        case SetStock(sku=sku, on_hand=on_hand):
            return receive(level, sku, on_hand - level.on_hand)
        case ReceiveStock(sku=sku, quantity=quantity):
            return receive(level, sku, quantity)
        case WriteOffStock(sku=sku, quantity=quantity, reason=reason):
            return write_off(level, sku, quantity, reason)
        case ReturnStock(sku=sku, quantity=quantity):
            return take_back(level, sku, quantity)


def evolve(state: State, event: Event) -> State:
    match event:
        case StockReserved(order=order):
            levels = _moved(state.levels, order.lines, available=-1, reserved=1)
            return State(Reserved(lines=order.lines), levels)
        case StockRejected(reason=reason):
            return State(Rejected(reason=reason), state.levels)
        case StockReleased(reason=reason, lines=lines):
            held = "committed" if isinstance(state.reservation, Committed) else "reserved"
            levels = _moved(state.levels, lines, **{"available": 1, held: -1})
            return State(Released(reason=reason), levels)
        case StockCommitted(lines=lines):
            return State(
                Committed(lines=lines), _moved(state.levels, lines, reserved=-1, committed=1)
            )
        case StockShipped(lines=lines):
            return State(Shipped(lines=lines), _moved(state.levels, lines, committed=-1, shipped=1))
        case StockReceived() | StockWrittenOff() | StockReturned():
            level = _changed(state.levels.get(event.sku, Level()), event)
            return State(state.reservation, {**state.levels, event.sku: level})
        case StockCancellationNoted():
            return State(Noted(), state.levels)


def reserve(state: State, message: OrderPlaced, at: datetime) -> Decision:
    """All lines or none."""
    order = message.order
    match state.reservation:
        case Reserved() | Committed() | Shipped() | Released() | Rejected():
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
        case Shipped():
            return impossible("a payment was undone whose shipment had left")


def commit(reservation: Reservation, message: OrderConfirmed) -> Decision:
    match reservation:
        case Reserved(lines=lines):
            return publish(StockCommitted(order_id=message.order_id, lines=lines))
        case Committed() | Shipped():
            return nothing("committed before")
        case Released():
            return nothing("a cancellation came first by another topic")
        case Absent() | Noted() | Rejected():
            return impossible("an order was confirmed that holds no stock")


def ship(reservation: Reservation, message: ShipmentDispatched) -> Decision:
    """A shipment leaves only for a confirmed order, though its confirmation may be read later here."""
    match reservation:
        case Committed(lines=lines):
            return publish(StockShipped(order_id=message.order_id, lines=lines))
        case Reserved(lines=lines):
            committed = StockCommitted(order_id=message.order_id, lines=lines)
            return publish(committed, StockShipped(order_id=message.order_id, lines=lines))
        case Shipped():
            return nothing("shipped before")
        case Absent() | Noted() | Released() | Rejected():
            return impossible("a shipment left that holds no stock")


def note_cancellation(reservation: Reservation, message: OrderCancellationRequested) -> Decision:
    match reservation:
        case Absent():
            noted = StockCancellationNoted(order_id=message.order_id, reason=message.reason)
            return publish(noted)
        case Noted() | Reserved() | Committed() | Shipped() | Released() | Rejected():
            return nothing("the order was passed on: downstream answers")


def receive(level: Level, sku: str, quantity: int) -> Decision | Refusal:
    if quantity == 0:
        return nothing("the stock stands")
    if level.received + quantity > PIECES_MAX:
        return _too_many(f"{level.received} pieces of {sku!r} came in")
    return publish(StockReceived(sku=sku, quantity=quantity, attempt=level.receipts + 1))


def write_off(level: Level, sku: str, quantity: int, reason: str) -> Decision | Refusal:
    if quantity > level.available:
        held = level.reserved + level.committed
        return Refusal(
            "stock_in_use", f"of {sku!r} {level.available} pieces are available, {held} are held"
        )
    attempt = level.receipts + 1
    return publish(StockWrittenOff(sku=sku, quantity=quantity, reason=reason, attempt=attempt))


def take_back(level: Level, sku: str, quantity: int) -> Decision | Refusal:
    if quantity > level.shipped:
        return Refusal("not_shipped", f"{level.shipped} pieces of {sku!r} are with customers")
    if level.returned + quantity > PIECES_MAX:
        return _too_many(f"{level.returned} pieces of {sku!r} came back")
    return publish(StockReturned(sku=sku, quantity=quantity, attempt=level.receipts + 1))


def merge(one: Level, other: Level) -> Level:
    """Two parts of a SKU's history, from different partitions: pieces add up."""
    return Level(
        available=one.available + other.available,
        reserved=one.reserved + other.reserved,
        committed=one.committed + other.committed,
        receipts=max(one.receipts, other.receipts),
        shipped=one.shipped + other.shipped,
        returned=one.returned + other.returned,
    )


def _too_many(so_far: str) -> Refusal:
    return Refusal("too_many_pieces", f"{so_far} so far: at most {PIECES_MAX} can be counted")


def _reject(order_id: str, reason: str) -> Decision:
    return publish(StockRejected(order_id=order_id, reason=reason))


def _changed(level: Level, event: StockReceived | StockWrittenOff | StockReturned) -> Level:
    match event:
        case StockReceived(quantity=quantity):
            changed = replace(level, available=level.available + quantity)
        case StockWrittenOff(quantity=quantity):
            changed = replace(level, available=level.available - quantity)
        case StockReturned(quantity=quantity):
            changed = replace(
                level,
                available=level.available + quantity,
                shipped=level.shipped - quantity,
                returned=level.returned + quantity,
            )
    return replace(changed, receipts=event.attempt)


def _moved(levels: Mapping[str, Level], lines: tuple[Line, ...], **by: int) -> Mapping[str, Level]:
    """Each piece of the lines changes the fields that `by` names, by so much."""
    moved = dict(levels)
    for line in lines:
        level = moved.get(line.sku, Level())
        sums = {name: getattr(level, name) + step * line.quantity for name, step in by.items()}
        moved[line.sku] = replace(level, **sums)
    return moved
