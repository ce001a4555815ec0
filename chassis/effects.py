"""Runs owed effects outside of any transaction; their outcomes are decided on like messages.

The call carries the effect's id as the provider's idempotency key, so an unknown outcome (a
timeout, a crash) is resolved by asking again; it is never assumed. An effect is asked for ever,
with backoff; past `ATTENTION_TRIES` it shows as needing attention. Timers are effects that
nobody runs: they are their own outcome.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from chassis import clock, crashpoints, ids
from chassis.circuit import Circuit
from chassis.errors import ProviderError, TransientError
from chassis.message import ATTENTION_TRIES, Message, Parked, PendingEffect, why_not
from chassis.metrics import EFFECTS
from chassis.service import Attempt, EffectRunner, Service
from chassis.store import Store
from chassis.work import adapter_of
from shared_events.decision import Refusal

log = structlog.get_logger()


async def itself(body: Any, _attempt: Attempt) -> Any:
    """The runner of a timer."""
    return body


def outcome_id(service: Service, effect_id: str) -> Any:
    """The inbox remembers an effect's outcome under one id, whoever brings it."""
    return ids.derived_id(service.name, effect_id, "outcome")


@dataclass
class EffectWorker:
    """One provider's calls, at most `concurrency` at once; nothing is leased without a free slot.

    `wake` is set after each commit of this process; the poll finds what is due later.
    """

    service: Service
    store: Store
    runners: Mapping[str, EffectRunner]
    circuit: Circuit
    concurrency: int = 50
    timeout_s: float = 10.0
    poll_s: float = 0.5
    woken_by: tuple[asyncio.Event, ...] = ()
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _known: list[tuple[PendingEffect, Message]] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lease_s(self) -> float:
        return self.timeout_s + 5.0

    async def run(self, stopping: asyncio.Event) -> None:
        settling = asyncio.create_task(self._settle_all(stopping))
        failures = 0
        while not stopping.is_set():
            try:
                self.wake.clear()
                if not await self.ask():
                    await clock.wait_for(self.wake, self.poll_s)
                failures = 0
            except TransientError as error:
                failures += 1
                log.warning("effects_delayed", error=str(error), failures=failures)
                await clock.wait(clock.backoff_s(failures, max_s=2.0))
        await asyncio.gather(*self._running)
        self._arrived.set()
        await settling

    def published(self, _keys: Iterable[str]) -> None:
        """What waited for its intent to be in the log may be due."""
        self.wake.set()

    async def ask(self) -> int:
        """Lease what is due and start the calls; returns how many were started."""
        permitted = self.circuit.permits(max(0, self.concurrency - len(self._running)))
        if not permitted:
            return 0
        due = await self.store.due_effects(
            tuple(self.runners), permitted, self.lease_s, freshest=self.circuit.is_probing
        )
        self.circuit.asking(len(due))
        for effect in due:
            task = asyncio.create_task(self._call(effect))
            self._running.add(task)
            task.add_done_callback(self._ended)
        return len(due)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.wake.set()  # a slot is free

    async def _call(self, effect: PendingEffect) -> None:
        name = self.service.name
        crashpoints.reached(crashpoints.LEASED)
        try:
            body = adapter_of(self.service.effect_kinds[effect.kind]).validate_json(effect.body)
            attempt = Attempt(effect.id, effect.tries, effect.owed_since or clock.now())
            async with asyncio.timeout(self.timeout_s):
                outcome = await self.runners[effect.kind](body, attempt)
        except Exception as error:  # noqa: BLE001 - unknown, whatever it is: ask again, same key
            EFFECTS.labels(name, effect.kind, "unknown").inc()
            self.circuit.failed(effect.id, error)
            await self._ask_again(effect, error)
            return
        crashpoints.reached(crashpoints.CALLED)
        self.circuit.succeeded()
        EFFECTS.labels(name, effect.kind, type(outcome).__name__).inc()
        self._known.append((effect, self._message(effect, outcome)))
        self._arrived.set()

    def _message(self, effect: PendingEffect, outcome: Any) -> Message:
        return Message(
            id=outcome_id(self.service, effect.id),
            key=effect.key,
            body=outcome,
            at=clock.now(),
            traceparent=effect.traceparent,
            effect_id=effect.id,
        )

    async def _settle_all(self, stopping: asyncio.Event) -> None:
        """Outcomes that come in meanwhile share the next transaction."""
        failures = 0
        while not stopping.is_set() or self._running or self._known:
            if not self._known:
                self._arrived.clear()
                await clock.wait_for(self._arrived, self.poll_s)
                continue
            try:
                await self.settle()
                failures = 0
            except TransientError as error:
                failures += 1
                log.warning("outcomes_delayed", error=str(error), failures=failures)
                if stopping.is_set() and failures > 3:  # noqa: PLR2004 - the next start asks again
                    return
                await clock.wait(clock.backoff_s(failures, max_s=2.0))

    async def settle(self) -> None:
        """Decide on the outcomes known so far. Raises TransientError; they are known still then."""
        taken = list(self._known)
        decided = await self.store.handle([message for _, message in taken], ())
        del self._known[: len(taken)]
        for event in self.woken_by:
            event.set()
        for (effect, _), outcome in zip(taken, decided, strict=True):
            if isinstance(outcome, Parked | Refusal):
                why = why_not(outcome)
                log.error("outcome_undecided", effect=effect.id, reason=why)
                await self._ask_again(effect, RuntimeError(why))

    async def _ask_again(self, effect: PendingEffect, error: Exception) -> None:
        """Later, with backoff; if even that can't be written, when the lease is over."""
        delay_s = clock.backoff_s(effect.tries, base_s=0.2, max_s=60.0)
        if isinstance(error, ProviderError) and error.retry_after_s is not None:
            delay_s = max(delay_s, error.retry_after_s)
        told = log.error if effect.tries == ATTENTION_TRIES else log.warning
        told(
            "effect_needs_attention" if effect.tries >= ATTENTION_TRIES else "effect_unknown",
            effect=effect.id,
            saga_id=effect.key,
            error=repr(error),
            tries=effect.tries,
            again_in_s=round(delay_s, 1),
        )
        try:
            await self.store.postpone(effect, delay_s, f"{type(error).__name__}: {error}")
        except TransientError as away:
            log.warning("lease_left_to_run_out", effect=effect.id, error=str(away))
