"""A small shop: products with prices, and stock of them."""

import time
from collections.abc import Callable
from typing import Final

import httpx

from chassis.auth import OPERATE
from saga_cli.stack.issuer import bearer
from shared_events.scopes import SHOP

PRODUCTS: Final = {
    "RETRO-CLOCK": ("Retro clock", 4_999, 5_000),
    "BLUE-VASE": ("Blue vase", 2_450, 5_000),
    "OAK-TABLE": ("Oak table", 29_900, 5_000),
    "WOOL-RUG": ("Wool rug", 12_000, 5_000),
    "DESK-LAMP": ("Desk lamp", 3_990, 5_000),
    "TEA-SET": ("Tea set", 5_700, 5_000),
    "LAST-ONE": ("The last of its kind", 9_900, 1),
    "SOLD-OUT": ("Sold out for years", 1_000, 0),
}
SUSPENDED_CUSTOMER: Final = "mallory"
KNOWN_S: Final = 30.0
NOT_YET: Final = {httpx.codes.NOT_FOUND, httpx.codes.SERVICE_UNAVAILABLE}


def seed(url: Callable[[str], str]) -> None:
    """Set prices, stock and one suspended customer, by the URL of each service.

    Doing it again changes nothing.
    """
    with httpx.Client(timeout=30, headers=bearer("seed", (SHOP, OPERATE))) as client:
        for sku, (name, price_minor, on_hand) in PRODUCTS.items():
            price = {"name": name, "price_minor": price_minor, "currency": "EUR"}
            client.put(f"{url('order')}/catalogue/{sku}", json=price).raise_for_status()
            stock = {"on_hand": on_hand}
            client.put(f"{url('inventory')}/stock/{sku}", json=stock).raise_for_status()
        set_standing(client, url, SUSPENDED_CUSTOMER, suspended=True)


def set_standing(
    client: httpx.Client, url: Callable[[str], str], customer: str, *, suspended: bool
) -> None:
    """Of a customer who need not have ordered anything. Raises httpx.HTTPError."""
    client.put(f"{url('order')}/customers/{customer}").raise_for_status()
    standing = f"{url('loyalty')}/customers/{customer}/standing"
    known_by = time.monotonic() + KNOWN_S
    while True:  # loyalty learns of a customer from the log
        answer = client.put(standing, json={"suspended": suspended})
        if answer.status_code not in NOT_YET or time.monotonic() > known_by:
            answer.raise_for_status()
            return
        time.sleep(0.1)
