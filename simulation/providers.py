"""The outside parties: production's simulated ones, with a ledger that outlives every process.

A ledger honours its idempotency key: asked again, it answers the same and moves nothing. What it is
asked under another key, it does: a caller that forgets its key pays twice, and is found out.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

from chassis.service import Attempt, Details, EffectRunner, LookUp, Provider
from payment_svc.messages import CaptureSucceeded, RefundSucceeded
from payment_svc.provider import SimulatedProvider, with_token
from shared_events.codec import decode_record
from shipping_svc.carrier import SimulatedCarrier, with_postal_code
from shipping_svc.messages import Book, Booked, BookingRefused
from simulation.database import Database

ProviderCall: TypeAlias = Callable[[Any, Attempt], Awaitable[Any]]
REFUSED_POSTAL_CODE: Final = "00000"


@dataclass
class Ledger:
    """What a party has done, by order; `answers` are kept by idempotency key.

    `carry` is the way to the party, and the way back, of a kind of call; each may raise, hang, or
    end the process that calls.
    """

    name: str
    carry: Callable[[str, str], Awaitable[None]]
    answers: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    watch: Callable[[str, list[tuple[str, Any]]], None] = lambda _order_id, _entries: None

    async def asked(self, effect: Any, attempt: Attempt, call: ProviderCall) -> Any:
        what = type(effect).__name__
        await self.carry(self.name, what)
        if attempt.key in self.answers:
            outcome = self.answers[attempt.key]
        else:
            outcome = self.answers[attempt.key] = await call(effect, attempt)
            entries = self.entries.setdefault(effect.order_id, [])
            entries.append((type(outcome).__name__, effect))
            self.watch(effect.order_id, entries)
        await self.carry(self.name, what)
        return outcome

    def runner(self, call: ProviderCall) -> EffectRunner:
        """The party as a service calls it, for one kind of effect."""
        return partial(self.asked, call=call)

    def provider(self, **runners: EffectRunner) -> Provider:
        return Provider(self.name, runners, concurrency=50, timeout_s=10.0)


def looking_up(database: Database, topic: str) -> LookUp:
    """What a service has projected of a compacted topic."""

    async def details_of(key: str) -> Details | None:
        record = database.projected.get((topic, key))
        return None if record is None else asdict(decode_record(record).event)

    return details_of


def bank(ledger: Ledger, look_up: LookUp) -> Provider:
    inner = SimulatedProvider()
    capture = with_token(ledger.runner(inner.capture), look_up)
    return ledger.provider(Capture=capture, Refund=ledger.runner(inner.refund))


def carrier(ledger: Ledger, look_up: LookUp) -> Provider:
    inner = SimulatedCarrier()

    async def book(effect: Book, attempt: Attempt) -> Booked | BookingRefused:
        if effect.postal_code == REFUSED_POSTAL_CODE:
            return BookingRefused(order_id=effect.order_id, reason="carrier_refused")
        return await inner.book(effect, attempt)

    return ledger.provider(
        Book=with_postal_code(ledger.runner(book), look_up),
        HandOver=ledger.runner(inner.hand_over),
        CancelBooking=ledger.runner(inner.cancel),
    )


def money_of(entries: list[tuple[str, Any]]) -> tuple[list[int], int]:
    """The charges of an order in the bank's own ledger, and the sum of its refunds, in minor units."""
    charges = [e.amount_minor for name, e in entries if name == CaptureSucceeded.__name__]
    refunds = [e.amount_minor for name, e in entries if name == RefundSucceeded.__name__]
    return charges, sum(refunds)
