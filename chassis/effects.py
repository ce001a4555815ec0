"""Runs owed effects outside of any transaction; their outcomes are decided on like messages.

The call carries the effect's id as the provider's idempotency key, so an unknown outcome (a
timeout, a crash) is resolved by asking again; it is never assumed.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from chassis import clock, ids
from chassis.errors import TransientError
from chassis.message import Message, Parked, PendingEffect
from chassis.metrics import EFFECTS
from chassis.service import EffectRunner, Service
from chassis.store import Store
from chassis.work import adapter_of

log = structlog.get_logger()


@dataclass
class EffectWorker:
    """`wake` is set after each commit of this process; the poll finds leases that ran out."""

    service: Service
    store: Store
    runners: Mapping[str, EffectRunner]
    batch: int = 200
    concurrency: int = 50
    timeout_s: float = 10.0
    lease_s: float = 15.0
    poll_s: float = 0.5
    woken_by: tuple[asyncio.Event, ...] = ()
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, stopping: asyncio.Event) -> None:
        failures = 0
        while not stopping.is_set():
            try:
                self.wake.clear()
                if not await self.run_once():
                    await clock.wait_for(self.wake, self.poll_s)
                failures = 0
            except TransientError as error:
                failures += 1
                log.warning("effects_delayed", error=str(error), failures=failures)
                await clock.wait(clock.backoff_s(failures, max_s=2.0))

    async def run_once(self) -> int:
        """Run what is due and hand the outcomes over in one batch; returns how many were due."""
        due = await self.store.due_effects(self.batch, self.lease_s)
        if not due:
            return 0
        gate = asyncio.Semaphore(self.concurrency)
        results = await asyncio.gather(*(self._outcome(gate, effect) for effect in due))
        known = [(e, m) for e, m in zip(due, results, strict=True) if m is not None]
        if known:
            decided = await self.store.handle([message for _, message in known], ())
            for (effect, _), outcome in zip(known, decided, strict=True):
                if isinstance(outcome, Parked):
                    log.error("outcome_undecided", effect=effect.id, reason=outcome.reason)
                    await self._ask_again(effect, outcome.reason)
            for event in self.woken_by:
                event.set()
        return len(due)

    async def _outcome(self, gate: asyncio.Semaphore, effect: PendingEffect) -> Message | None:
        body = adapter_of(self.service.effect_kinds[effect.kind]).validate_json(effect.body)
        try:
            async with gate, asyncio.timeout(self.timeout_s):
                outcome = await self.runners[effect.kind](body, effect.id)
        except Exception as error:  # noqa: BLE001 - unknown, whatever it is: ask again, same key
            EFFECTS.labels(self.service.name, effect.kind, "unknown").inc()
            log.warning("effect_unknown", effect=effect.id, error=repr(error))
            await self._ask_again(effect, repr(error))
            return None
        EFFECTS.labels(self.service.name, effect.kind, type(outcome).__name__).inc()
        return Message(
            id=ids.derived_id(self.service.name, effect.id, "outcome"),
            key=effect.key,
            body=outcome,
            at=clock.now(),
            traceparent=effect.traceparent,
            effect_id=effect.id,
        )

    async def _ask_again(self, effect: PendingEffect, why: str) -> None:
        delay_s = clock.backoff_s(effect.tries, base_s=0.2, max_s=60.0)
        await self.store.postpone(effect, delay_s, why)
