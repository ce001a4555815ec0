"""What inventory is told beside its neighbours' events.

commands   SetStock, ReceiveStock
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStock:
    sku: str
    on_hand: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveStock:
    sku: str
    quantity: int
