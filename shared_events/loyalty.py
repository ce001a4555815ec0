"""Published by the loyalty service on its lanes."""

from dataclasses import dataclass
from typing import Any, Final

from shared_events.values import Count, Points, Public


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsAwarded:
    """The chain's last step; `attempt` 2 follows a refused cancellation."""

    order_id: Public
    customer_id: Public
    points: Points
    attempt: Count = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsRejected:
    """No points were awarded: the way back starts."""

    order_id: Public
    reason: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsDeducted:
    """The compensation of PointsAwarded."""

    order_id: Public
    customer_id: Public
    points: Points
    reason: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsCancellationNoted:
    """A tombstone: the order was cancelled before it was seen here."""

    order_id: Public
    reason: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerSuspended:
    """The customer earns no points; `attempt` counts changes of the customer's standing."""

    customer_id: Public
    attempt: Count = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerReinstated:
    """The customer earns points again."""

    customer_id: Public
    attempt: Count = 1


EVENTS: Final[tuple[tuple[str, type[Any]], ...]] = (
    ("points.awarded.v1", PointsAwarded),
    ("points.rejected.v1", PointsRejected),
    ("points.deducted.v1", PointsDeducted),
    ("points.cancellation_noted.v1", PointsCancellationNoted),
    ("customer.suspended.v1", CustomerSuspended),
    ("customer.reinstated.v1", CustomerReinstated),
)
