"""Values that travel inside events. Money is integer minor units with an ISO 4217 currency.

Numbers are integers within limits, and nothing that only looks like one: no text, fraction or truth
value. A time names its offset. What is outside of them is malformed, whoever sent it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Self

from pydantic import (
    AwareDatetime,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from chassis.events import EARLIEST, LATEST

EXACT_MAX: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 8259, section 6)."""
COUNT_MAX: Final = 2**31 - 1
QUANTITY_MAX: Final = 10**9
HELD_SINCE: Final = "x-held-since"
"""In a schema, the release since which no publisher has exceeded its limits: they break no reader."""
CLASSIFICATION: Final = "x-classification"
"""In a schema, what a value tells, and of whom: see `Public`, `Personal` and `Card`."""
_PUBLIC: Final[dict[str, Any]] = {CLASSIFICATION: "public"}
_HELD: Final[dict[str, Any]] = {HELD_SINCE: "0.1.0", **_PUBLIC}

Public = Annotated[str, Field(json_schema_extra=_PUBLIC)]
"""A text that identifies nobody by itself: ids, pseudonyms, codes. It may be kept for ever."""
PERSONAL: Final = Field(json_schema_extra={CLASSIFICATION: "personal"})
CARD: Final = Field(json_schema_extra={CLASSIFICATION: "card"})
"""For a text with constraints of its own, as APIs take it."""
Personal = Annotated[str, PERSONAL]
"""A text that identifies a person, alone or with others of its kind: on compacted topics only."""
Card = Annotated[str, CARD]
"""A text by which a card can be charged: on compacted topics only."""

Minor = Annotated[int, Field(strict=True, ge=0, le=EXACT_MAX, json_schema_extra=_HELD)]
"""An amount in minor units of its currency."""
Points = Annotated[int, Field(strict=True, ge=0, le=EXACT_MAX, json_schema_extra=_HELD)]
Quantity = Annotated[int, Field(strict=True, ge=1, le=QUANTITY_MAX, json_schema_extra=_HELD)]
"""Pieces of an order's line."""
PieceDifference = Annotated[
    int, Field(strict=True, ge=-EXACT_MAX, le=EXACT_MAX, json_schema_extra=_HELD)
]
"""Pieces that came in, or went out where it is negative."""
Pieces = Annotated[int, Field(strict=True, ge=1, le=EXACT_MAX, json_schema_extra=_HELD)]
"""Pieces that moved one way."""
Count = Annotated[int, Field(strict=True, ge=1, le=COUNT_MAX, json_schema_extra=_HELD)]
"""The number of an attempt or revision, from 1."""
Instant = Annotated[AwareDatetime, Field(ge=EARLIEST, lt=LATEST, json_schema_extra=_PUBLIC)]
"""A time with its offset, far enough from the ends of its type to be reckoned with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`quantity` pieces of one stock keeping unit at `unit_price_minor` each."""

    sku: Public
    quantity: Quantity
    unit_price_minor: Minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The order context that every forward event carries, so that no service has to ask back.

    `customer_id` is a pseudonym (adr/0040). `payment_token` and `postal_code` are in events of release
    0.2 and before only: since then they travel on compacted topics.
    `unknown` keeps the fields a newer publisher added; they are passed on untouched. A field that
    is called `unknown` on the wire is one of them, and none of them stands for a known field.
    """

    order_id: Public
    customer_id: Public
    lines: tuple[Line, ...]
    total_minor: Minor
    currency: Public
    payment_token: Card = ""
    country: Public
    postal_code: Personal = ""
    placed_at: Instant
    deadline: Instant
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _keep_unknown_fields(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        known = cls.__dataclass_fields__.keys() - {"unknown"}
        unknown = {name: value[name] for name in value if name not in known}
        if not unknown:
            return value
        return {name: value[name] for name in value if name in known} | {"unknown": unknown}

    @model_serializer(mode="wrap")
    def _put_unknown_fields_back(
        self: Self, inner: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        known: dict[str, Any] = inner(self)
        unknown: dict[str, Any] = known.pop("unknown")
        return known | {name: unknown[name] for name in unknown if name not in known}
