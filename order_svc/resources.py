"""What clients send to the order service, and are shown. Amounts are minor units of `currency`."""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, Field

from chassis.events import name_of
from chassis.http import Body, Code, LineText, SagaKey, example, key_in_path, text
from order_svc import domain
from shared_events.values import CARD, PERSONAL, Personal

OrderId = Annotated[SagaKey, key_in_path("The order's id.")]
UNKNOWN: Final = "There is no such order (`unknown_order`)."
SETTLED: Final = ("CONFIRMED", "CANCELLED")
STATES: Final = {
    "order.placed": "PENDING",
    "order.cancellation_requested": "CANCELLING",
    "order.cancellation_refused": "CONFIRMED",
    "order.confirmed": "CONFIRMED",
    "order.cancelled": "CANCELLED",
}
"""Of an order after each of its events, by the event's name; what `domain.evolve` makes of them."""
CurrencyCode = Annotated[str, text(3, 3, pattern="^[A-Z]{3}$"), Field(examples=["EUR"])]


def no_card_number(token: str) -> str:
    """A provider's token has no number as long as a card's, whether or not it passes a check."""
    if re.search(r"\d(?:[\W_]*\d){11}", token):
        raise ValueError("it looks like a card number: send the provider's token")
    return token


Token = Annotated[str, text(68, pattern="^tok_[A-Za-z0-9_]{1,64}$"), AfterValidator(no_card_number)]


class CheckoutLine(Body):
    sku: Code
    quantity: int = Field(ge=1, le=10_000, strict=True)


class Delivery(Body):
    """Personal data; it never enters an event log that is kept."""

    name: Annotated[LineText, PERSONAL]
    street: Annotated[LineText, PERSONAL]
    city: Annotated[LineText, PERSONAL]
    email: Annotated[LineText, PERSONAL]


class Checkout(Body):
    """What a customer buys, how it is paid for, and where it goes."""

    model_config = example(
        lines=[{"sku": "RETRO-CLOCK", "quantity": 1}],
        payment_token="tok_visa",  # noqa: S106 - no secret
        country="DE",
        postal_code="10115",
    )
    customer_id: Annotated[
        Code | None,
        Field(description="For whom a service acts; a customer is known by the token."),
        PERSONAL,
    ] = None
    lines: Annotated[tuple[CheckoutLine, ...], Field(min_length=1, max_length=100)]
    currency: CurrencyCode = "EUR"
    payment_token: Annotated[
        Token, Field(description="The payment provider's token of a card, never its number."), CARD
    ]
    country: Annotated[
        str, text(2, 2, pattern="^[A-Z]{2}$"), Field(description="ISO 3166-1 alpha-2.")
    ]
    postal_code: Annotated[str, text(16, pattern="^[A-Za-z0-9 -]+$"), PERSONAL]
    delivery: Delivery | None = None


class Price(Body):
    model_config = example(name="Retro clock", price_minor=4999, currency="EUR")
    name: LineText
    price_minor: int = Field(ge=0, le=10**10, strict=True)
    currency: CurrencyCode = "EUR"


class Product(BaseModel):
    sku: str
    name: str
    price_minor: int
    currency: str


class OrderLine(BaseModel):
    sku: str
    quantity: int
    unit_price_minor: int


class Order(BaseModel):
    """An order. `reason` and `refused_by` say why it is cancelled, and which service refused it.

    `customer_id` is empty once the customer is erased.
    """

    order_id: str
    state: Literal["PENDING", "CANCELLING", "CONFIRMED", "CANCELLED"]
    reason: str | None
    refused_by: str | None
    customer_id: Personal
    lines: list[OrderLine]
    total_minor: int
    currency: str
    refunded_minor: int
    fee_minor: int
    placed_at: datetime
    deadline: datetime


class TimelineEntry(BaseModel):
    """A message that the order service consumed, and what it published on it."""

    at: datetime
    heard: str
    said: str


class OrderWithTimeline(Order):
    timeline: list[TimelineEntry]


class OrderPage(BaseModel):
    """Newest first. `next` is the cursor of the following page, null on the last."""

    orders: list[Order]
    next: str | None


def state_after(published: str) -> str:
    """The state that a row of the timeline led to; "" if it changed none."""
    reached = [STATES.get(name_of(wire_type), "") for wire_type in published.split(", ")]
    return next((state for state in reversed(reached) if state), "")


def as_resource(state: Any, customer_id: str) -> dict[str, Any]:
    """An order as a client sees it: an `Order`. Its customer is not in the state, which is kept."""
    order = state.order
    cancelled = state if isinstance(state, domain.Cancelled) else None
    return {
        "order_id": order.order_id,
        "state": type(state).__name__.upper(),
        "reason": cancelled.reason if cancelled else None,
        "refused_by": cancelled.refused_by if cancelled else None,
        "customer_id": customer_id,
        "lines": order.lines,
        "total_minor": order.total_minor,
        "currency": order.currency,
        "refunded_minor": cancelled.refunded_minor if cancelled else 0,
        "fee_minor": cancelled.fee_minor if cancelled else 0,
        "placed_at": order.placed_at,
        "deadline": order.deadline,
    }


class Customer(BaseModel):
    """Events say `pseudonym` in the place of `customer_id`."""

    customer_id: Personal
    pseudonym: str
