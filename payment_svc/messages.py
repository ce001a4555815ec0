"""What payment asks of its provider, and what the provider may answer.

effects    Capture -> CaptureSucceeded | CaptureDeclined; Refund -> RefundSucceeded | RefundRefused
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """`deadline` is the order's; one that was owed before captures had it has none.

    `token` is in captures of orders of release 0.2 and before; later it is looked up for each call.
    """

    order_id: str
    amount_minor: int
    currency: str
    token: str = ""
    deadline: datetime = NEVER
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    order_id: str
    amount_minor: int
    currency: str
    provider_ref: str
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSucceeded:
    order_id: str
    provider_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureDeclined:
    """It is known that nothing was taken, and nothing will be."""

    order_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundSucceeded:
    order_id: str
    settled_by: str = "provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRefused:
    """It is known that nothing was given back by this refund, and nothing will be."""

    order_id: str
    reason: str
