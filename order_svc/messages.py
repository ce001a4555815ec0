"""Messages to the order service other than its neighbours' events.

commands   PlaceOrder, CancelOrder, PriceProduct; IdentifyCustomer, on which no rule decides
timers     DeadlinePassed
"""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class CartLine:
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    order_id: str
    customer_id: str
    cart: tuple[CartLine, ...]
    currency: str
    country: str
    patience: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    order_id: str
    reason: str = "customer"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePassed:
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceProduct:
    sku: str
    name: str
    price_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyCustomer:
    pseudonym: str
