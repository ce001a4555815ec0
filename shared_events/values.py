"""Values that travel inside events. Money is integer minor units with an ISO 4217 currency."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`quantity` pieces of one stock keeping unit at `unit_price_minor` each."""

    sku: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The order context that every forward event carries, so that no service has to ask back.

    `unknown` keeps the fields a newer publisher added; they are passed on untouched.
    """

    order_id: str
    customer_id: str
    lines: tuple[Line, ...]
    total_minor: int
    currency: str
    payment_token: str
    country: str
    postal_code: str
    placed_at: datetime
    deadline: datetime
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _set_unknown_fields_aside(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        known = cls.__dataclass_fields__
        unknown = {name: value[name] for name in value if name not in known}
        if not unknown:
            return value
        return {name: value[name] for name in value if name in known} | {"unknown": unknown}

    @model_serializer(mode="wrap")
    def _put_unknown_fields_back(
        self: Self, inner: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        fields: dict[str, Any] = inner(self)
        fields |= fields.pop("unknown")
        return fields
