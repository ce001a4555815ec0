"""What the order service measures of orders: where they stand, how they end, and how long it took."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from prometheus_client import Counter, Gauge, Histogram

from chassis import clock
from chassis.bus import Committed
from chassis.metrics import WAITS_S, Bounded
from chassis.postgres import PostgresStore
from order_svc.domain import Cancelling, Pending
from shared_events.order import OrderCancelled, OrderConfirmed

SETTLED: Final = Counter(
    "saga_orders_settled_total",
    "Orders confirmed or cancelled; one that is cancelled later counts as both",
    ["outcome", "refused_by", "reason"],
)
SECONDS: Final = Histogram(
    "saga_order_seconds", "From an order's checkout to its end", ["outcome"], buckets=WAITS_S
)
UNSETTLED: Final = Gauge("saga_orders_unsettled", "Orders that are not settled", ["state"])
OLDEST: Final = Gauge(
    "saga_orders_oldest_unsettled_seconds",
    "Since when the oldest order that is not settled was placed, 0 without one",
)
OPEN_STATES: Final = (Pending.__name__, Cancelling.__name__)
QUERY: Final = f"""
SELECT status, count(*), min(order_id COLLATE "C") FROM orders
WHERE status IN {OPEN_STATES} GROUP BY status
"""  # noqa: S608 - own names; as literals, or the index of unsettled orders is passed over


@dataclass
class OrderMeasures:
    """A subscriber of the bus; `look` sets the gauges of what is in the database."""

    _reasons: Bounded = field(default_factory=Bounded)
    _refused_by: Bounded = field(default_factory=Bounded)

    def committed(self, event: Committed) -> None:
        for message, outcome in event.decided():
            for decided in outcome.events:
                self._count(decided, outcome.state, message.at)

    def _count(self, event: object, state: Any, at: datetime) -> None:
        match event:
            case OrderConfirmed():
                outcome, refused_by, reason = "confirmed", "", ""
            case OrderCancelled():
                outcome, refused_by, reason = "cancelled", event.refused_by, event.reason
            case _:
                return
        took = at - state.order.order.placed_at
        SETTLED.labels(outcome, self._refused_by(refused_by), self._reasons(reason)).inc()
        SECONDS.labels(outcome).observe(max(0.0, took.total_seconds()))

    async def look(self, store: PostgresStore) -> None:
        """Raises TransientError."""
        async with store.translated(), store.async_commit_pool.acquire() as connection:
            rows = await connection.fetch(QUERY)
        found = {state: (count, oldest) for state, count, oldest in rows}
        for state in OPEN_STATES:
            UNSETTLED.labels(state).set(found.get(state, (0, ""))[0])
        oldest_ms = min((_placed_ms(order_id) for _, order_id in found.values()), default=None)
        now_ms = clock.now().timestamp() * 1000
        OLDEST.set(0 if oldest_ms is None else max(0.0, (now_ms - oldest_ms) / 1000))


def _placed_ms(order_id: str) -> float:
    """Milliseconds since 1970: an order's id begins with them (UUIDv7)."""
    return UUID(order_id).int >> 80
