"""What one load is: who orders what, how much, and when. It travels to the generator as JSON.

Of a hundred orders, ninety go well and ten are refused, in four ways.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx
from pydantic import TypeAdapter

from saga_cli.stack.issuer import bearer
from saga_cli.stack.seed import SUSPENDED_CUSTOMER, seed
from saga_cli.stack.services import Services

Shape = Literal["mixed", "one sku", "one customer"]
WARES: Final = tuple(f"BENCH-{number:02}" for number in range(24))
TOKEN: Final = "BENCH_AUTHORIZATION"  # noqa: S105 - the name of a variable
"""How the generator shows whom it orders for; arguments of a process are seen by everybody."""
STOCK: Final = 10**8
CUSTOMERS: Final = 10_000
KINDS: Final[tuple[tuple[int, dict[str, Any]], ...]] = (
    (90, {}),
    (3, {"lines": [{"sku": "SOLD-OUT", "quantity": 1}]}),
    (3, {"payment_token": "tok_declined"}),
    (2, {"country": "AQ"}),
    (2, {"customer_id": SUSPENDED_CUSTOMER}),
)
REFUSED: Final = frozenset(
    {"out_of_stock", "card_declined", "undeliverable_country", "customer_suspended"}
)
"""The reasons for which one order in ten is cancelled; any other means that something went wrong."""


def carts(number: int, shape: Shape = "mixed") -> Iterator[bytes]:
    """Bodies of checkouts without end, the same for the same seed; of each hundred the same mix."""
    dice = random.Random(number)  # noqa: S311 - who orders what, no secret
    deck = [changes for count, changes in KINDS for _ in range(count)]
    while True:
        dice.shuffle(deck)
        for changes in deck:
            yield json.dumps({**_cart(dice, shape), **changes}, separators=(",", ":")).encode()


def _cart(dice: random.Random, shape: Shape) -> dict[str, Any]:
    skus = WARES[:1] if shape == "one sku" else dice.sample(WARES, dice.randint(1, 2))
    number = 0 if shape == "one customer" else dice.randrange(CUSTOMERS)
    return {
        "customer_id": f"c-{number}",
        "lines": [{"sku": sku, "quantity": 1} for sku in skus],
        "payment_token": "tok_visa",
        "country": "DE",
        "postal_code": "10115",
    }


def stock(services: Services) -> None:
    """The shop that the carts are filled in. Raises httpx.HTTPError."""
    order, inventory = services.url("order"), services.url("inventory")
    seed(services.url)
    with httpx.Client(timeout=30, headers=bearer()) as client:
        for sku in WARES:
            price = {"name": sku, "price_minor": 1_000, "currency": "EUR"}
            client.put(f"{order}/catalogue/{sku}", json=price).raise_for_status()
            pieces = {"on_hand": STOCK}
            client.put(f"{inventory}/stock/{sku}", json=pieces).raise_for_status()


@dataclass(frozen=True, slots=True)
class LoadPhase:
    """So many orders a second, for so long."""

    rate: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """An open loop through `phases`, or, without any, a closed loop of `orders` with `in_flight`.

    In a closed loop an order is in flight until it is settled. What was due in the first `warm_s`
    is in no percentile. The generator gives up when nothing has settled for `patience_s`.
    """

    urls: tuple[str, ...]
    phases: tuple[LoadPhase, ...] = ()
    orders: int = 0
    in_flight: int = 0
    arrivals: Literal["poisson", "steady"] = "poisson"
    shape: Shape = "mixed"
    seed: int = 1
    connections: int = 512
    warm_s: float = 0.0
    patience_s: float = 60.0

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)


PLAN: Final = TypeAdapter(LoadPlan)


def schedule(plan: LoadPlan) -> Iterator[float]:
    """The seconds after the start at which an order is due, whatever became of those before it."""
    dice, begun = random.Random(plan.seed), 0.0  # noqa: S311 - arrivals, no secret
    for phase in plan.phases:
        due, end = begun, begun + phase.seconds
        while True:
            gap = dice.expovariate(phase.rate) if plan.arrivals == "poisson" else 1 / phase.rate
            due += gap
            if due >= end:
                break
            yield due
        begun = end
