"""Published by the inventory service on its lanes."""

from dataclasses import dataclass
from typing import Any, Final

from shared_events.values import Count, Line, Minor, Order, PieceDifference, Pieces, Public


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReserved:
    """All lines are held: the payment may be taken."""

    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class StockRejected:
    """Nothing is held."""

    order_id: Public
    reason: Public


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReleased:
    """The compensation of StockReserved: what was held or committed is for sale again."""

    order_id: Public
    lines: tuple[Line, ...]
    reason: Public
    refused_by: Public
    refunded_minor: Minor = 0
    fee_minor: Minor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StockCommitted:
    """The order is confirmed: what was held is sold."""

    order_id: Public
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StockShipped:
    """The shipment was dispatched: what was sold has left the shelf."""

    order_id: Public
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReceived:
    """`quantity` pieces came in (negative in old events: were written off).

    `attempt` counts the changes of the SKU: receipts, write-offs and returns.
    """

    sku: Public
    quantity: PieceDifference
    attempt: Count = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StockWrittenOff:
    """`quantity` available pieces are gone; `reason` is a code such as `damaged`, or `counted`."""

    sku: Public
    quantity: Pieces
    reason: Public
    attempt: Count = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReturned:
    """`quantity` shipped pieces came back and are for sale again."""

    sku: Public
    quantity: Pieces
    attempt: Count = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StockCancellationNoted:
    """A tombstone: the order was cancelled before it was seen here."""

    order_id: Public
    reason: Public


EVENTS: Final[tuple[tuple[str, type[Any]], ...]] = (
    ("stock.reserved.v1", StockReserved),
    ("stock.rejected.v1", StockRejected),
    ("stock.released.v1", StockReleased),
    ("stock.committed.v1", StockCommitted),
    ("stock.shipped.v1", StockShipped),
    ("stock.received.v1", StockReceived),
    ("stock.written_off.v1", StockWrittenOff),
    ("stock.returned.v1", StockReturned),
    ("stock.cancellation_noted.v1", StockCancellationNoted),
)
