"""The outside parties: production's simulated ones, with a ledger that outlives every process.

A ledger honours its idempotency key: asked again, it answers the same and moves nothing. What it is
asked under another key, it does: a caller that forgets its key pays twice, and is found out.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from chassis.service import Attempt, EffectRunner, Provider
from payment_svc.messages import Capture, CaptureSucceeded, Refund, RefundSucceeded
from payment_svc.provider import SimulatedProvider
from shipping_svc.carrier import SimulatedCarrier
from shipping_svc.messages import Book, Booked, BookingRefused, CancelBooking, HandOver

Call: TypeAlias = Callable[[Any, Attempt], Awaitable[Any]]
REFUSED_POSTAL_CODE: Final = "00000"


class CallLine(Protocol):
    """The way to a party, and the way back; each may raise, hang, or end the process that calls."""

    async def carry(self, party: str, what: str) -> None: ...


@dataclass
class Ledger:
    """What a party has done, by order; `answers` are kept by idempotency key."""

    name: str
    line: CallLine
    answers: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    watch: Callable[[str, list[tuple[str, Any]]], None] = lambda _order_id, _entries: None

    async def asked(self, effect: Any, attempt: Attempt, call: Call) -> Any:
        what = type(effect).__name__
        await self.line.carry(self.name, what)
        if attempt.key in self.answers:
            outcome = self.answers[attempt.key]
        else:
            outcome = self.answers[attempt.key] = await call(effect, attempt)
            entries = self.entries.setdefault(effect.order_id, [])
            entries.append((type(outcome).__name__, effect))
            self.watch(effect.order_id, entries)
        await self.line.carry(self.name, what)
        return outcome


@dataclass(frozen=True, slots=True)
class Bank:
    ledger: Ledger
    inner: SimulatedProvider = field(default_factory=SimulatedProvider)

    async def capture(self, effect: Capture, attempt: Attempt) -> Any:
        return await self.ledger.asked(effect, attempt, self.inner.capture)

    async def refund(self, effect: Refund, attempt: Attempt) -> Any:
        return await self.ledger.asked(effect, attempt, self.inner.refund)

    def provider(self) -> Provider:
        runners: dict[str, EffectRunner] = {"Capture": self.capture, "Refund": self.refund}
        return Provider("bank", runners, concurrency=50, timeout_s=10.0)


@dataclass(frozen=True, slots=True)
class FaultyCarrier:
    ledger: Ledger
    inner: SimulatedCarrier = field(default_factory=SimulatedCarrier)

    async def book(self, effect: Book, attempt: Attempt) -> Any:
        return await self.ledger.asked(effect, attempt, self._booked)

    async def _booked(self, effect: Book, attempt: Attempt) -> Booked | BookingRefused:
        if effect.postal_code == REFUSED_POSTAL_CODE:
            return BookingRefused(order_id=effect.order_id, reason="carrier_refused")
        return await self.inner.book(effect, attempt)

    async def hand_over(self, effect: HandOver, attempt: Attempt) -> Any:
        return await self.ledger.asked(effect, attempt, self.inner.hand_over)

    async def cancel(self, effect: CancelBooking, attempt: Attempt) -> Any:
        return await self.ledger.asked(effect, attempt, self.inner.cancel)

    def provider(self) -> Provider:
        runners: dict[str, EffectRunner] = {
            "Book": self.book,
            "HandOver": self.hand_over,
            "CancelBooking": self.cancel,
        }
        return Provider("carrier", runners, concurrency=50, timeout_s=10.0)


def money_of(entries: list[tuple[str, Any]]) -> tuple[list[int], int]:
    """The charges of an order in the bank's own ledger, and the sum of its refunds, in minor units."""
    charges = [e.amount_minor for name, e in entries if name == CaptureSucceeded.__name__]
    refunds = [e.amount_minor for name, e in entries if name == RefundSucceeded.__name__]
    return charges, sum(refunds)
