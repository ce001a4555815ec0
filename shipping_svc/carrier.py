"""A simulated carrier, whose behaviour is a file that can be changed meanwhile.

A carrier honours its idempotency key: asked again with the same key, it answers the same and
books, collects or cancels nothing a second time. It raises anything for an unknown outcome.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from chassis import clock
from chassis.effects import WithDetails
from chassis.errors import ProviderError
from chassis.service import Attempt, EffectRunner, LookUp
from shipping_svc.messages import (
    Book,
    Booked,
    BookingCancelled,
    BookingRefused,
    CancelBooking,
    HandedOver,
    HandOver,
)


class CarrierScript(BaseModel):
    """How the simulated carrier is today. `lost_answers` is the share of calls without an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_ms: int = Field(default=0, ge=0)
    outage: bool = False
    lost_answers: float = Field(default=0.0, ge=0, le=1)
    refused_postal_codes: frozenset[str] = frozenset()


@dataclass
class SimulatedCarrier:
    """Its references follow from the key, so it has nothing to remember. `script` holds a CarrierScript."""

    script: Path | None = None

    async def book(self, effect: Book, attempt: Attempt) -> Booked | BookingRefused:
        script = await self._answering(attempt)
        if effect.postal_code in script.refused_postal_codes:
            return BookingRefused(order_id=effect.order_id, reason="carrier_refused")
        return Booked(order_id=effect.order_id, carrier_ref=f"CAR-{_digest(attempt.key)[:16]}")

    async def hand_over(self, effect: HandOver, attempt: Attempt) -> HandedOver:
        await self._answering(attempt)
        return HandedOver(order_id=effect.order_id)

    async def cancel(self, effect: CancelBooking, attempt: Attempt) -> BookingCancelled:
        await self._answering(attempt)
        return BookingCancelled(order_id=effect.order_id)

    async def _answering(self, attempt: Attempt) -> CarrierScript:
        script = self._script()
        await clock.wait(script.latency_ms / 1000)
        if script.outage:
            raise ProviderError("the carrier is away")
        if int(_digest(f"{attempt.key}/{attempt.number}")[:8], 16) < script.lost_answers * 16**8:
            raise ProviderError("no answer came")
        return script

    def _script(self) -> CarrierScript:
        if self.script is None or not self.script.exists():
            return CarrierScript()
        return CarrierScript.model_validate_json(self.script.read_bytes())


def with_postal_code(book: EffectRunner, look_up: LookUp) -> EffectRunner:
    """Gives the carrier the postal code of the order's delivery details. It is in no event and no effect."""
    return WithDetails(
        book,
        look_up,
        needs=lambda effect: not effect.postal_code,
        fill=lambda effect, details: replace(effect, postal_code=details["postal_code"]),
        erased=lambda effect: BookingRefused(order_id=effect.order_id, reason="details_erased"),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
