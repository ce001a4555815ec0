"""What the pages ask: each answer is one or a few statements, each within 300 ms at a million orders."""

from datetime import datetime
from typing import Final

from console.model import (
    Changes,
    Counted,
    Cursor,
    Filter,
    Found,
    OrderDetail,
    OrderRow,
    Page,
    ReaderState,
    Standing,
)

CAP: Final = 10_000
"""So many are counted at most."""
PAGE: Final = 50


class Queries:
    """Over the console's own database. Each raises TransientError of chassis.errors while it is away."""

    async def standing(self) -> Standing:
        """Where orders stand now."""
        raise NotImplementedError

    async def orders(
        self, wanted: Filter, cursor: Cursor = "", limit: int = PAGE
    ) -> Page[OrderRow]:
        """Orders that meet a filter, the newest first. Raises ValueError for a cursor that is none."""
        raise NotImplementedError

    async def count(self, wanted: Filter, cap: int = CAP) -> Counted:
        """How many meet a filter."""
        raise NotImplementedError

    async def order(self, order_id: str) -> OrderDetail | None:
        """One order with its events; None where none of them is known."""
        raise NotImplementedError

    async def find(self, text: str) -> tuple[Found, ...]:
        """What an id stands for: order, customer, event, trace, or a payment's or shipment's reference."""
        raise NotImplementedError

    async def at(self, instant: datetime) -> Standing:
        """Where orders stood at an instant, by the times of their events."""
        raise NotImplementedError

    async def changes_since(self, position: int, limit: int = 500) -> Changes:
        """What was read after a position, in the order in which it was read."""
        raise NotImplementedError

    async def reasons(self, limit: int = 100) -> tuple[str, ...]:
        """Reasons that orders have, for a filter's suggestions."""
        raise NotImplementedError

    async def reader(self) -> ReaderState:
        """How far the console has read the log."""
        raise NotImplementedError
