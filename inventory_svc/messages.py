"""Messages to inventory other than its neighbours' events.

commands   SetStock, ReceiveStock, WriteOffStock, ReturnStock
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStock:
    """A count of what is on the shelf, sold or not."""

    sku: str
    on_hand: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveStock:
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOffStock:
    """`reason` is a code for the books, such as `damaged`."""

    sku: str
    quantity: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnStock:
    """Pieces that customers sent back and that can be sold again."""

    sku: str
    quantity: int
