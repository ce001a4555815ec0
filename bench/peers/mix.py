"""The orders that every peer is given, as a function of their numbers alone.

Of a hundred, 90 are confirmed, 3 are out of stock, 3 declined, 2 undeliverable and 2 of suspended
customers.
"""

from dataclasses import dataclass
from typing import Final, Literal

Ending = Literal["confirmed", "out_of_stock", "declined", "undeliverable", "suspended"]
ENDINGS: Final[tuple[tuple[Ending, int], ...]] = (
    ("confirmed", 90),
    ("out_of_stock", 3),
    ("declined", 3),
    ("undeliverable", 2),
    ("suspended", 2),
)
OF_HUNDRED: Final = tuple(ending for ending, share in ENDINGS for _ in range(share))
SPREAD: Final = 37  # has no divisor in common with 100: endings alternate, and none is left out

SKUS: Final = tuple(f"SKU-{n:02}" for n in range(20))
SOLD_OUT: Final = "SOLD-OUT"
PRICES_MINOR: Final = {sku: 500 + 250 * n for n, sku in enumerate((*SKUS, SOLD_OUT))}
CUSTOMERS: Final = tuple(f"c-{n}" for n in range(1000))
SUSPENDED: Final = CUSTOMERS[-10:]
ACTIVE: Final = CUSTOMERS[:-10]
DECLINED: Final = "tok_declined"
FORBIDDEN: Final = "AQ"


@dataclass(frozen=True, slots=True)
class MixOrder:
    """One checkout; `lines` are SKUs with quantities, in the order in which stock is locked."""

    number: int
    customer: str
    lines: tuple[tuple[str, int], ...]
    token: str
    country: str

    @property
    def id(self) -> str:
        return f"order-{self.number}"

    @property
    def total_minor(self) -> int:
        return sum(PRICES_MINOR[sku] * quantity for sku, quantity in self.lines)

    @property
    def points(self) -> int:
        return self.total_minor // 100


def ending_of(number: int) -> Ending:
    return OF_HUNDRED[number * SPREAD % 100]


def order_of(number: int) -> MixOrder:
    ending = ending_of(number)
    customers = SUSPENDED if ending == "suspended" else ACTIVE
    return MixOrder(
        number,
        customers[(number // 100 + number * 7) % len(customers)],
        _lines(number, ending),
        DECLINED if ending == "declined" else "tok_visa",
        FORBIDDEN if ending == "undeliverable" else "DE",
    )


def _lines(number: int, ending: Ending) -> tuple[tuple[str, int], ...]:
    first = number * 7 % len(SKUS)
    second = (first + 1 + number // 20 % (len(SKUS) - 1)) % len(SKUS)
    lines = [(SKUS[first], 1 + number % 3)]
    if number // 2 % 2:
        lines.append((SKUS[second], 1))
    if ending == "out_of_stock":
        lines[-1] = (SOLD_OUT, 1)
    return tuple(sorted(lines))
