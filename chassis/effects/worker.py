"""Runs outstanding effects outside of any transaction; their outcomes are decided on like messages.

The call carries the effect's id as the provider's idempotency key, so an unknown outcome (a
timeout, a crash) is resolved by asking again; it is never assumed. An effect is asked for ever,
with backoff; past `ATTENTION_TRIES` it shows as needing attention. One that the provider refuses
as invalid (RefusedError) needs attention at once, and is not asked again by itself. Timers are effects that
nobody runs: they are their own outcome.
"""

import asyncio
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import structlog

from chassis import clock, crashpoints, ids, spans, tracing
from chassis.bus import Acknowledged, Committed, Sent
from chassis.decide import adapter_of
from chassis.decision import Refusal
from chassis.effects.circuit import Circuit
from chassis.effects.local import LocalEffectQueue
from chassis.errors import ProviderError, RefusedError, TransientError
from chassis.handle import Handler
from chassis.message import (
    ATTENTION_TRIES,
    FIRST_LEASE_S,
    Message,
    Parked,
    PendingEffect,
    why_not,
)
from chassis.metrics import EFFECT_TRIES, EFFECTS
from chassis.pace import Pace
from chassis.service import Attempt, EffectRunner, Service
from chassis.store import EffectQueue

log = structlog.get_logger()
REFUSED_S: Final = 100 * 365 * 86_400.0
"""By itself what was refused as it stands is not due again."""


async def itself(body: Any, _attempt: Attempt) -> Any:
    """The runner of a timer."""
    return body


def outcome_id(service: Service, effect_id: str) -> Any:
    """The inbox remembers an effect's outcome under one id, whoever brings it."""
    return ids.derived_id(service.name, effect_id, "outcome")


@dataclass
class EffectWorker:
    """One provider's calls, at most `concurrency` at once; nothing is leased without a free slot.

    What this process decided on itself is handed over in memory; the store is looked at for the rest:
    what is due later, was tried before, or was decided on by another instance.
    """

    service: Service
    handler: Handler
    store: EffectQueue
    runners: Mapping[str, EffectRunner]
    circuit: Circuit
    concurrency: int = 50
    timeout_s: float = 10.0
    poll_s: float = 0.5
    woken_by: tuple[asyncio.Event, ...] = ()
    pace: Pace = field(default_factory=Pace)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    local: LocalEffectQueue = field(default_factory=LocalEffectQueue)
    running: dict[asyncio.Task[None], tuple[float, PendingEffect]] = field(default_factory=dict)
    soon: set[str] = field(default_factory=set)
    _others: bool = False
    _look_at: float = 0.0
    _prolonged_at: float = 0.0
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
                started = await self.ask()
                await self._prolong()
                if not started:
                    await clock.wait_for(self.wake, self.poll_s)
                failures = 0
            except TransientError as error:
                failures += 1
                log.warning("effects_delayed", error=str(error), failures=failures)
                await clock.wait(clock.backoff_s(failures, max_s=2.0))
        await asyncio.gather(*self.running)
        self._arrived.set()
        await settling

    def committed(self, event: Committed) -> None:
        """The next look at the store may be soon enough for what this process has decided on."""
        self.local.committed(event)
        soon = clock.now() + timedelta(seconds=self.poll_s)
        for effect in event.result.effects:
            if effect.kind not in self.runners:
                continue
            if effect.needs_attention:
                fields = tracing.log_fields(effect.traceparent)
                log.error("effect_needs_attention", effect=effect.id, saga_id=effect.key, **fields)
            if not effect.tries and (effect.due_at or soon) <= soon:
                self.soon.add(effect.key)

    def sent(self, event: Sent) -> None:
        """What waited in memory for rows that are in the log now is due."""
        self._others = self.local.sent(event) or self._others
        if self.local.is_ready:
            self.wake.set()

    def acknowledged(self, event: Acknowledged) -> None:
        """What the store leases only once these rows are out of the outbox may be due."""
        if self._others or not self.soon.isdisjoint(row.key for row in event.rows):
            self._others = False
            self._look_at = 0.0
            self.wake.set()

    async def ask(self) -> int:
        """Take what was handed over, lease what else is due, start the calls; returns how many."""
        permitted = self.circuit.permits(max(0, self.concurrency - len(self.running)))
        if not permitted:
            return 0
        due = self.local.take(permitted)
        if len(due) < permitted and clock.monotonic() >= self._look_at:
            due += await self._leased(permitted - len(due))
        self.circuit.asking(len(due))
        for effect in due:
            task = asyncio.create_task(self._call(effect))
            self.running[task] = (clock.monotonic(), effect)
            task.add_done_callback(self._ended)
        return len(due)

    async def _leased(self, most: int) -> list[PendingEffect]:
        """From the store, which is looked at again at once only if it may have more."""
        self._look_at = clock.monotonic() + self.poll_s
        self.soon.clear()
        leased = await self.store.due_effects(
            self.service.stored_kinds(self.runners),
            most,
            self.lease_s,
            freshest=self.circuit.is_probing,
        )
        if len(leased) == most:
            self._look_at = 0.0
        return leased

    async def _prolong(self) -> None:
        """A call that takes its time needs a longer lease than the one that it was handed over with."""
        now = clock.monotonic()
        if now < self._prolonged_at + self.poll_s:
            return
        self._prolonged_at, latest = now, now - FIRST_LEASE_S / 4
        for task, (asked_at, effect) in list(self.running.items()):
            if effect.due_at is None and asked_at < latest:
                await self.store.postpone(effect, self.lease_s, "")
                if task in self.running:
                    self.running[task] = (math.inf, effect)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.running.pop(task, None)
        self.wake.set()  # a slot is free

    async def _call(self, effect: PendingEffect) -> None:
        name, kind = self.service.name, self.service.present_kind(effect.kind)
        crashpoints.reached(crashpoints.LEASED)
        try:
            body = adapter_of(self.service.effect_kinds[effect.kind]).validate_json(effect.body)
            attempt = Attempt(effect.id, effect.tries, effect.owed_since or clock.now())
            with self._span(effect, kind) as context:
                async with asyncio.timeout(self.timeout_s):
                    outcome = await self.runners[kind](body, attempt)
        except Exception as error:  # noqa: BLE001 - unknown, whatever it is: ask again, same key
            EFFECTS.labels(name, kind, "unknown").inc()
            if isinstance(error, RefusedError):
                self.circuit.succeeded()  # it answered
            else:
                self.circuit.failed(effect.id, error)
            await self._ask_again(effect, error)
            return
        crashpoints.reached(crashpoints.CALLED)
        self.circuit.succeeded()
        EFFECTS.labels(name, kind, type(outcome).__name__).inc()
        self._known.append((effect, self._message(effect, outcome, context)))
        self._arrived.set()

    def _span(self, effect: PendingEffect, kind: str) -> AbstractContextManager[str]:
        """Of a call; nobody is called by a timer."""
        if self.runners[kind] is itself:
            return nullcontext(effect.traceparent)
        return spans.effect(self.circuit.provider, effect, kind)

    def _message(self, effect: PendingEffect, outcome: Any, context: str) -> Message:
        return Message(
            id=outcome_id(self.service, effect.id),
            key=effect.key,
            body=outcome,
            at=clock.now(),
            traceparent=context,
            effect_id=effect.id,
            caused_at=effect.owed_since,
        )

    async def _settle_all(self, stopping: asyncio.Event) -> None:
        """Outcomes that come in meanwhile share the next transaction."""
        failures = 0
        while not stopping.is_set() or self.running or self._known:
            if not self._known:
                self._arrived.clear()
                await clock.wait_for(self._arrived, self.poll_s)
                continue
            try:
                await self.pace.handled(await self.settle())
                failures = 0
            except TransientError as error:
                failures += 1
                log.warning("outcomes_delayed", error=str(error), failures=failures)
                if stopping.is_set() and failures > 3:  # noqa: PLR2004 - the next start asks again
                    return
                await clock.wait(clock.backoff_s(failures, max_s=2.0))

    async def settle(self) -> int:
        """Decide on the outcomes known so far, so many. Raises TransientError; they are known still then."""
        taken = list(self._known)
        decided = await self.handler.handle([message for _, message in taken])
        del self._known[: len(taken)]
        for event in self.woken_by:
            event.set()
        for (effect, _), outcome in zip(taken, decided, strict=True):
            EFFECT_TRIES.labels(self.service.name, effect.kind).observe(effect.tries)
            if isinstance(outcome, Parked | Refusal):
                why = why_not(outcome)
                fields = tracing.log_fields(effect.traceparent)
                log.error("outcome_undecided", effect=effect.id, reason=why, **fields)
                await self._ask_again(effect, RuntimeError(why))
        return len(taken)

    async def _ask_again(self, effect: PendingEffect, error: Exception) -> None:
        """Later, with backoff; if even that can't be written, when the lease is over."""
        refused = isinstance(error, RefusedError)
        delay_s = REFUSED_S if refused else clock.backoff_s(effect.tries, base_s=0.2, max_s=60.0)
        if isinstance(error, ProviderError) and error.retry_after_s is not None:
            delay_s = max(delay_s, error.retry_after_s)
        attention = refused or effect.tries >= ATTENTION_TRIES
        log_line = log.error if refused or effect.tries == ATTENTION_TRIES else log.warning
        log_line(
            "effect_needs_attention" if attention else "effect_unknown",
            effect=effect.id,
            saga_id=effect.key,
            error=repr(error),
            tries=effect.tries,
            again_in_s=round(delay_s, 1),
            **tracing.log_fields(effect.traceparent),
        )
        try:
            await self.store.postpone(effect, delay_s, f"{type(error).__name__}: {error}")
        except TransientError as away:
            log.warning("lease_left_to_run_out", effect=effect.id, error=str(away))
