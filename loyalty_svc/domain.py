"""Loyalty: awards points for a shipment, as the chain's last step, and takes them back.

consumes   ShipmentCreated, ShipmentCancellationRefused from shipping;
           OrderCancellationRequested from order
publishes  PointsAwarded, PointsRejected, PointsDeducted, PointsCancellationNoted,
           CustomerSuspended, CustomerReinstated
state      Absent -> Awarded -> Deducted -> Awarded, or Rejected; Noted is a tombstone
repeats    a fact that comes twice, or too late, decides nothing
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from chassis.decision import Decision, impossible, nothing, publish
from loyalty_svc.messages import SetStanding
from shared_events import money
from shared_events.loyalty import (
    CustomerReinstated,
    CustomerSuspended,
    PointsAwarded,
    PointsCancellationNoted,
    PointsDeducted,
    PointsRejected,
)
from shared_events.order import OrderCancellationRequested
from shared_events.shipping import ShipmentCancellationRefused, ShipmentCreated

WORTHLESS: Final = money.ZERO_DECIMAL | money.NO_FRACTIONS
"""Currencies whose unit is worth little: a point is for a hundred of them, elsewhere for each."""
POINTS_MAX: Final = 10**15
"""No award takes a customer beyond: so a sum, with what may be awarded again, is exact in a double."""


@dataclass(frozen=True, slots=True)
class Absent:
    """The service has stored nothing of this order."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Cancelled before it was seen: the tombstone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awarded:
    customer_id: str
    points: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deducted:
    customer_id: str
    points: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    points: int = 0
    suspended: bool = False
    changes: int = 0


Award: TypeAlias = Absent | Noted | Awarded | Deducted | Rejected


class State(NamedTuple):
    award: Award
    customers: Mapping[str, Customer]


Input: TypeAlias = (
    SetStanding | ShipmentCreated | ShipmentCancellationRefused | OrderCancellationRequested
)
Event: TypeAlias = (
    PointsAwarded
    | PointsRejected
    | PointsDeducted
    | PointsCancellationNoted
    | CustomerSuspended
    | CustomerReinstated
)
INITIAL = Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Minor units that earn a point: of the currencies that `per_point` names, or by the currency."""

    per_point: Mapping[str, int] = field(default_factory=dict)

    def points(self, amount_minor: int, currency: str) -> int:
        usual: int = (100 if currency in WORTHLESS else 1) * 10 ** money.exponent(currency)
        return amount_minor // self.per_point.get(currency, usual)


POLICY: Final = Policy()


def decide(state: State, message: Input, at: datetime, policy: Policy = POLICY) -> Decision:
    match message:
        case ShipmentCreated():
            return award(state, message, at, policy)
        case OrderCancellationRequested():
            return deduct(state.award, message)
        case ShipmentCancellationRefused():
            return award_again(state.award, message)
        case SetStanding():
            return set_standing(state.customers.get(message.customer_id, Customer()), message)


def evolve(state: State, event: Event) -> State:
    match event:
        case PointsAwarded(customer_id=customer_id, points=points, attempt=attempt):
            awarded = Awarded(customer_id=customer_id, points=points, attempt=attempt)
            return State(awarded, _credited(state.customers, customer_id, points))
        case PointsRejected(reason=reason):
            return State(Rejected(reason=reason), state.customers)
        case PointsDeducted(customer_id=customer_id, points=points):
            attempt = state.award.attempt if isinstance(state.award, Awarded) else 1
            deducted = Deducted(customer_id=customer_id, points=points, attempt=attempt)
            return State(deducted, _credited(state.customers, customer_id, -points))
        case PointsCancellationNoted():
            return State(Noted(), state.customers)
        case CustomerSuspended() | CustomerReinstated():
            customer = state.customers.get(event.customer_id, Customer())
            is_suspended = isinstance(event, CustomerSuspended)
            changed = replace(customer, suspended=is_suspended, changes=event.attempt)
            return State(state.award, {**state.customers, event.customer_id: changed})


def award(state: State, message: ShipmentCreated, at: datetime, policy: Policy) -> Decision:
    order = message.order
    match state.award:
        case Awarded() | Deducted() | Rejected():
            return nothing("decided before")
        case Noted():
            return publish(PointsRejected(order_id=order.order_id, reason="cancelled"))
        case Absent():
            pass
    if at > order.deadline:
        return publish(PointsRejected(order_id=order.order_id, reason="deadline_exceeded"))
    customer = state.customers.get(order.customer_id, Customer())
    if customer.suspended:
        return publish(PointsRejected(order_id=order.order_id, reason="customer_suspended"))
    points = policy.points(order.total_minor, order.currency)
    if customer.points + points > POINTS_MAX:
        return publish(PointsRejected(order_id=order.order_id, reason="too_many_points"))
    awarded = PointsAwarded(order_id=order.order_id, customer_id=order.customer_id, points=points)
    return publish(awarded)


def deduct(state: Award, message: OrderCancellationRequested) -> Decision:
    """The last participant is the frontier once it has acted."""
    match state:
        case Absent():
            noted = PointsCancellationNoted(order_id=message.order_id, reason=message.reason)
            return publish(noted)
        case Awarded(attempt=1):
            deducted = PointsDeducted(
                order_id=message.order_id,
                customer_id=state.customer_id,
                points=state.points,
                reason=message.reason,
            )
            return publish(deducted)
        case Noted() | Awarded() | Deducted() | Rejected():
            return nothing("answered before")


def award_again(state: Award, message: ShipmentCancellationRefused) -> Decision:
    match state:
        case Deducted():
            again = PointsAwarded(
                order_id=message.order_id,
                customer_id=state.customer_id,
                points=state.points,
                attempt=state.attempt + 1,
            )
            return publish(again)
        case Awarded(attempt=1) | Absent() | Noted() | Rejected():
            return impossible("a cancellation was refused that no deduction led to")
        case Awarded():
            return nothing("awarded again before")


def set_standing(customer: Customer, command: SetStanding) -> Decision:
    if customer.suspended == command.suspended:
        return nothing("the standing stands")
    change = CustomerSuspended if command.suspended else CustomerReinstated
    return publish(change(customer_id=command.customer_id, attempt=customer.changes + 1))


def merge(one: Customer, other: Customer) -> Customer:
    """Two parts of a customer's history, from different partitions: points add up."""
    newest = max(one, other, key=lambda customer: customer.changes)
    return replace(newest, points=one.points + other.points)


def _credited(
    customers: Mapping[str, Customer], customer_id: str, points: int
) -> Mapping[str, Customer]:
    customer = customers.get(customer_id, Customer())
    return {**customers, customer_id: replace(customer, points=customer.points + points)}
