"""Buys by a generated client: every field is typed, a misspelt one does not pass mypy."""

import os
import sys

import httpx
from order_client import AuthenticatedClient
from order_client.api.orders import checkout, get_order, list_orders
from order_client.models import (
    Checkout,
    CheckoutLine,
    Order,
    OrderPage,
    OrderState,
    OrderWithTimeline,
    ProblemDetails,
)


def buy(client: AuthenticatedClient, key: str) -> str:
    body = Checkout(
        lines=[CheckoutLine(sku="RETRO-CLOCK", quantity=2)],
        payment_token="tok_visa",
        country="DE",
        postal_code="10115",
    )
    placed = checkout.sync(client=client, body=body, idempotency_key=key, prefer="wait=30")
    assert isinstance(placed, Order), placed
    assert placed.state is OrderState.CONFIRMED, placed
    assert placed.lines[0].quantity == 2
    found = get_order.sync(placed.order_id, client=client)
    assert isinstance(found, OrderWithTimeline), found
    assert found.timeline[0].said == "order.placed.v1"
    missing = get_order.sync("none", client=client)
    assert isinstance(missing, ProblemDetails), missing
    assert missing.code == "unknown_order"
    page = list_orders.sync(client=client, limit=1)
    assert isinstance(page, OrderPage), page
    assert page.orders[0].order_id == placed.order_id
    return placed.order_id


if __name__ == "__main__":
    token, patience = os.environ["ACCESS_TOKEN"], httpx.Timeout(60)
    alice = AuthenticatedClient(base_url=sys.argv[1], token=token, timeout=patience)
    print(buy(alice, sys.argv[2]))
