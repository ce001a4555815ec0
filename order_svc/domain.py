"""Orders: taken from a customer, then settled by what the two ends of the chain report.

consumes   PointsAwarded from loyalty; StockRejected, StockReleased from inventory
publishes  OrderPlaced, OrderConfirmed, OrderCancelled, OrderCancellationRequested,
           OrderCancellationRefused, ProductPriced
timers     DeadlinePassed: an order that is not settled by its deadline is cancelled
state      Absent -> Pending -> Confirmed | Cancelled, and Cancelling on the way
repeats    a fact that comes twice, or too late, decides nothing
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

from chassis.decision import Decision, Later, Refusal, impossible, nothing, publish
from order_svc.messages import CancelOrder, DeadlinePassed, PlaceOrder, PriceProduct
from shared_events import money
from shared_events.inventory import StockRejected, StockReleased
from shared_events.loyalty import PointsAwarded
from shared_events.order import (
    OrderCancellationRefused,
    OrderCancellationRequested,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    ProductPriced,
)
from shared_events.values import EXACT_MAX, Line, Order


@dataclass(frozen=True, slots=True)
class Absent:
    """The service has stored nothing of this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelling:
    order: Order
    reason: str = "customer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    order: Order
    cancellation_refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    order: Order
    reason: str
    refused_by: str
    refunded_minor: int
    fee_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    name: str
    price_minor: int
    currency: str
    revision: int


OrderState: TypeAlias = Absent | Pending | Cancelling | Confirmed | Cancelled


class State(NamedTuple):
    order: OrderState
    products: Mapping[str, Product]


Input: TypeAlias = (
    PlaceOrder
    | CancelOrder
    | DeadlinePassed
    | PriceProduct
    | PointsAwarded
    | StockRejected
    | StockReleased
)
FIRST: Final = (PlaceOrder,)  # with which an order usually begins here
Event: TypeAlias = (
    OrderPlaced
    | OrderConfirmed
    | OrderCancelled
    | OrderCancellationRequested
    | OrderCancellationRefused
    | ProductPriced
)
INITIAL = Absent()


def decide(state: State, message: Input, at: datetime) -> Decision | Refusal:
    match message:
        case PlaceOrder():
            return place(state, message, at)
        case CancelOrder():
            return request_cancellation(state.order, message)
        case DeadlinePassed():
            return give_up(state.order, message)
        case PriceProduct():
            return price(state.products.get(message.sku), message)
        case PointsAwarded():
            return settle(state.order, message)
        case StockRejected():
            return cancel(state.order, message.reason, "inventory")
        case StockReleased():
            return cancel(
                state.order,
                message.reason,
                message.refused_by,
                message.refunded_minor,
                message.fee_minor,
            )


def evolve(state: State, event: Event) -> State:
    match event:
        case OrderPlaced(order=order):
            return State(Pending(order=order), state.products)
        case OrderCancellationRequested(reason=reason):
            return State(Cancelling(order=_known(state.order), reason=reason), state.products)
        case OrderConfirmed():
            return State(Confirmed(order=_known(state.order)), state.products)
        case OrderCancellationRefused(reason=reason):
            confirmed = Confirmed(order=_known(state.order), cancellation_refused=reason)
            return State(confirmed, state.products)
        case OrderCancelled():
            cancelled = Cancelled(
                order=_known(state.order),
                reason=event.reason,
                refused_by=event.refused_by,
                refunded_minor=event.refunded_minor,
                fee_minor=event.fee_minor,
            )
            return State(cancelled, state.products)
        case ProductPriced():
            product = Product(
                name=event.name,
                price_minor=event.price_minor,
                currency=event.currency,
                revision=event.attempt,
            )
            return State(state.order, {**state.products, event.sku: product})


def awaited(order: OrderState, order_id: str, _since: datetime) -> tuple[Any, ...]:
    """The timer that an order waits for."""
    match order:
        case Pending():
            return (Later(order.order.deadline, DeadlinePassed(order_id=order_id)),)
        case Absent() | Cancelling() | Confirmed() | Cancelled():
            return ()


def place(state: State, command: PlaceOrder, at: datetime) -> Decision | Refusal:
    if state.order != INITIAL:
        return Refusal("order_exists", f"order {command.order_id} was placed before")
    if not command.cart:
        return Refusal("empty_cart", "an order needs at least one line", "invalid")
    lines = []
    for item in command.cart:
        product = state.products.get(item.sku)
        if product is None:
            return Refusal("unknown_sku", f"there is no product {item.sku!r}", "invalid")
        if product.currency != command.currency:
            return Refusal(
                "wrong_currency", f"{item.sku!r} is sold in {product.currency}", "invalid"
            )
        lines.append(
            Line(sku=item.sku, quantity=item.quantity, unit_price_minor=product.price_minor)
        )
    total_minor = sum(line.quantity * line.unit_price_minor for line in lines)
    if total_minor > EXACT_MAX:
        return Refusal("total_too_large", f"an order's total is at most {EXACT_MAX}", "invalid")
    if not money.is_payable(total_minor, command.currency):
        return _not_payable(f"a total of {total_minor}", command.currency)
    order = Order(
        order_id=command.order_id,
        customer_id=command.customer_id,
        lines=tuple(lines),
        total_minor=total_minor,
        currency=command.currency,
        country=command.country,
        placed_at=at,
        deadline=at + command.patience,
    )
    return Decision(
        events=(OrderPlaced(order=order),),
        effects=awaited(Pending(order=order), order.order_id, at),
    )


def settle(state: OrderState, message: PointsAwarded) -> Decision:
    """The first award confirms; the second says that a cancellation came too late."""
    match state:
        case Pending():
            confirmed = OrderConfirmed(order_id=message.order_id)
            return Decision(events=(confirmed,), dropped=(DeadlinePassed,))
        case Cancelling() if message.attempt > 1:
            refused = OrderCancellationRefused(order_id=message.order_id, reason="dispatched")
            return publish(refused)
        case Cancelling():
            return nothing("the last participant will answer the cancellation")
        case Confirmed():
            return nothing("confirmed before")
        case Cancelled():
            return nothing("the way back overtook the award by another topic")
        case Absent():
            return impossible("points were awarded for an order that was never placed")


def request_cancellation(state: OrderState, command: CancelOrder) -> Decision | Refusal:
    match state:
        case Absent():
            return Refusal("unknown_order", f"there is no order {command.order_id}", "not_found")
        case Cancelling():
            return Refusal("already_cancelling", "the order is being cancelled")
        case Cancelled():
            return Refusal("already_cancelled", "the order is cancelled")
        case Confirmed(cancellation_refused=why) if why:
            return Refusal("cancellation_refused", f"a cancellation was refused before: {why}")
        case Pending() | Confirmed():
            requested = OrderCancellationRequested(order_id=command.order_id, reason=command.reason)
            return Decision(events=(requested,), dropped=(DeadlinePassed,))


def give_up(state: OrderState, timer: DeadlinePassed) -> Decision:
    match state:
        case Pending():
            reason = "deadline_exceeded"
            return publish(OrderCancellationRequested(order_id=timer.order_id, reason=reason))
        case Cancelling() | Confirmed() | Cancelled():
            return nothing("settled in time, or being cancelled")
        case Absent():
            return impossible("a deadline passed of an order that was never placed")


def cancel(
    state: OrderState, reason: str, refused_by: str, refunded_minor: int = 0, fee_minor: int = 0
) -> Decision:
    """A service that noted the cancellation answers `cancelled`; the order knows who wished it."""
    match state:
        case Pending(order=order) | Cancelling(order=order):
            cancelled = OrderCancelled(
                order_id=order.order_id,
                reason=_wish(state) if reason == "cancelled" else reason,
                refused_by=refused_by,
                refunded_minor=refunded_minor,
                fee_minor=fee_minor,
            )
            return Decision(events=(cancelled,), dropped=(DeadlinePassed,))
        case Cancelled():
            return nothing("cancelled before")
        case Absent() | Confirmed():
            return impossible("the stock was given back under an order that is not open")


def price(product: Product | None, command: PriceProduct) -> Decision | Refusal:
    if not money.is_payable(command.price_minor, command.currency):
        return _not_payable(f"price_minor {command.price_minor}", command.currency)
    revision = product.revision if product else 0
    wanted = Product(
        name=command.name,
        price_minor=command.price_minor,
        currency=command.currency,
        revision=revision,
    )
    if product == wanted:
        return nothing("the price stands")
    priced = ProductPriced(
        sku=command.sku,
        name=command.name,
        price_minor=command.price_minor,
        currency=command.currency,
        attempt=revision + 1,
    )
    return publish(priced)


def merge(one: Product, other: Product) -> Product:
    """Two parts of a product's history, from different partitions: the newest price counts."""
    return max(one, other, key=lambda product: product.revision)


def _not_payable(what: str, currency: str) -> Refusal:
    step = money.step(currency)
    why = f"{what} is no multiple of {step}: nobody can pay or refund it in {currency}"
    return Refusal("amount_not_payable", why, "invalid")


def _wish(state: OrderState) -> str:
    return state.reason if isinstance(state, Cancelling) else "cancelled"


def _known(state: OrderState) -> Order:
    assert not isinstance(state, Absent), "an order is placed before anything else"
    return state.order
