"""The worker that asks providers: one slow or failing call is nobody else's trouble."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from chassis import clock
from chassis.bus import Committed, Sent
from chassis.decide import BatchResult, Snapshot, adapter_of
from chassis.decision import nothing
from chassis.effects import worker as effects
from chassis.effects.circuit import Circuit, CircuitState
from chassis.effects.local import LocalEffectQueue
from chassis.effects.worker import EffectWorker
from chassis.errors import ProviderError, RefusedError, TransientError
from chassis.message import (
    ATTENTION_TRIES,
    Decided,
    Message,
    OutboxRow,
    Outcome,
    Parked,
    PendingEffect,
)
from chassis.service import Attempt, Service
from shared_events.catalog import CATALOG
from tests.support.waiting import until_async

DAY_S: Final = 86_400.0
AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Call:
    name: str


@dataclass(frozen=True, slots=True)
class Answered:
    name: str


SERVICE: Final = Service(
    name="test",
    catalog=CATALOG,
    decide=lambda _state, _message, _at: nothing("it is a test"),
    evolve=lambda state, _event: state,
    initial=None,
    consumes=(),
    publishes=(),
    effects={"Call": Call},
)


@dataclass
class Shelf:
    """The store and the handler that the worker uses, in memory: leases, postponements, outcomes."""

    outstanding_effects: dict[str, PendingEffect] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    decided: list[str] = field(default_factory=list)
    postponed: list[tuple[str, float, str]] = field(default_factory=list)
    leased_most: int = 0
    away: int = 0
    undecidable: set[str] = field(default_factory=set)

    def owe(self, *names: str) -> None:
        for name in names:
            body = adapter_of(Call).dump_json(Call(name))
            effect = PendingEffect(name, name, "Call", body, "", AT, 0, AT)
            self.outstanding_effects[name], self.due[name] = effect, clock.monotonic()

    async def due_effects(
        self, kinds: tuple[str, ...], limit: int, lease_s: float, *, freshest: bool = False
    ) -> list[PendingEffect]:
        assert kinds == ("Call",)
        now = clock.monotonic()
        due = sorted((at, name) for name, at in self.due.items() if at <= now)
        if freshest:
            due.sort(key=lambda place: (self.outstanding_effects[place[1]].tries, -place[0]))
        ready = [name for _, name in due[:limit]]
        self.leased_most = max(self.leased_most, len(ready))
        for name in ready:
            self.due[name] = now + lease_s
            self.outstanding_effects[name] = replace(
                self.outstanding_effects[name], tries=self.outstanding_effects[name].tries + 1
            )
        return [self.outstanding_effects[name] for name in ready]

    async def postpone(self, effect: PendingEffect, delay_s: float, error: str) -> None:
        if self.away:
            self.away -= 1
            raise TransientError("the store is away")
        soon = delay_s if delay_s > DAY_S else min(delay_s, 0.05)
        self.due[effect.id] = clock.monotonic() + soon
        self.postponed.append((effect.id, delay_s, error))

    async def handle(self, messages: list[Message]) -> list[Outcome]:
        if self.away:
            self.away -= 1
            raise TransientError("the store is away")
        return [self._handled(message) for message in messages]

    def _handled(self, message: Message) -> Outcome:
        if message.effect_id in self.undecidable:
            self.undecidable.discard(message.effect_id)
            return Parked("a bug in the rules")
        self.decided.append(message.body.name)
        del self.outstanding_effects[message.effect_id], self.due[message.effect_id]
        return Decided((), None)


Runner = Callable[[Call, Attempt], Awaitable[Answered]]


async def at_once(call: Call, _attempt: Attempt) -> Answered:
    return Answered(call.name)


@asynccontextmanager
async def working(shelf: Shelf, runner: Runner, **settings: Any) -> AsyncIterator[EffectWorker]:
    circuit = settings.pop("circuit", None) or Circuit("test", "test", cool_s=0.05, cool_max_s=0.1)
    store: Any = shelf
    runners = {"Call": runner}
    worker = EffectWorker(SERVICE, store, store, runners, circuit, poll_s=0.02, **settings)
    stopping = asyncio.Event()
    task = asyncio.create_task(worker.run(stopping))
    try:
        yield worker
    finally:
        stopping.set()
        await task


async def test_outcomes_come_back_as_messages_and_effects_are_owed_no_more() -> None:
    shelf = Shelf()
    shelf.owe("a", "b")
    async with working(shelf, at_once):
        await until_async(lambda: not shelf.outstanding_effects)
    assert sorted(shelf.decided) == ["a", "b"]


async def test_a_slow_call_does_not_hold_up_the_outcomes_of_others() -> None:
    shelf, released = Shelf(), asyncio.Event()
    shelf.owe("slow", *(f"n-{n}" for n in range(20)))

    async def runner(call: Call, attempt: Attempt) -> Answered:
        if call.name == "slow":
            await released.wait()
        return await at_once(call, attempt)

    async with working(shelf, runner):
        await until_async(lambda: set(shelf.outstanding_effects) == {"slow"})
        assert "slow" not in shelf.decided
        released.set()
        await until_async(lambda: not shelf.outstanding_effects)


async def test_no_more_than_so_many_are_asked_at_once_and_none_is_leased_without_a_slot() -> None:
    shelf, now, most = Shelf(), 0, 0
    shelf.owe(*(f"n-{n}" for n in range(50)))

    async def runner(call: Call, attempt: Attempt) -> Answered:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1
        return await at_once(call, attempt)

    async with working(shelf, runner, concurrency=4):
        await until_async(lambda: not shelf.outstanding_effects)
    assert (most, shelf.leased_most) == (4, 4)


async def test_an_effect_is_asked_again_with_the_same_key_and_a_higher_number() -> None:
    shelf, attempts = Shelf(), []
    shelf.owe("a")

    async def runner(call: Call, attempt: Attempt) -> Answered:
        attempts.append(attempt)
        if attempt.number < 4:
            raise ConnectionError("lost")
        return await at_once(call, attempt)

    async with working(shelf, runner):
        await until_async(lambda: not shelf.outstanding_effects)
    assert attempts == [Attempt("a", number, AT) for number in (1, 2, 3, 4)]
    assert [error for _, _, error in shelf.postponed] == ["ConnectionError: lost"] * 3


async def test_a_call_that_takes_too_long_is_unknown_and_asked_again() -> None:
    shelf = Shelf()
    shelf.owe("a")

    async def runner(call: Call, attempt: Attempt) -> Answered:
        await asyncio.sleep(60 if attempt.number == 1 else 0)
        return await at_once(call, attempt)

    async with working(shelf, runner, timeout_s=0.05):
        await until_async(lambda: not shelf.outstanding_effects)
    assert shelf.postponed[0][2].startswith("TimeoutError")


async def test_attention_is_called_for_once_and_shown_from_then_on() -> None:
    shelf = Shelf()
    shelf.owe("a")

    async def runner(call: Call, attempt: Attempt) -> Answered:
        if attempt.number < ATTENTION_TRIES + 3:
            raise ConnectionError("lost")
        return await at_once(call, attempt)

    with capture_logs() as logs:
        async with working(shelf, runner):
            await until_async(lambda: not shelf.outstanding_effects)
    errors = [line for line in logs if line["log_level"] == "error"]
    assert [(e["event"], e["tries"]) for e in errors] == [
        ("effect_needs_attention", ATTENTION_TRIES)
    ]
    logged = [line["event"] for line in logs if "tries" in line]
    assert logged == ["effect_unknown"] * (ATTENTION_TRIES - 1) + ["effect_needs_attention"] * 3


async def test_what_is_refused_as_it_stands_is_asked_once_and_needs_attention_at_once() -> None:
    """It is no sign that the provider is away; and who wishes it can have it asked again."""
    shelf = Shelf()
    circuit = Circuit("test", "test", failures_max=1)
    shelf.owe("a", "b")

    async def runner(call: Call, attempt: Attempt) -> Answered:
        if call.name == "a":
            raise RefusedError("46775 is no amount of ISK")
        return await at_once(call, attempt)

    with capture_logs() as logs:
        async with working(shelf, runner, circuit=circuit):
            await until_async(lambda: len(shelf.postponed) == len(shelf.outstanding_effects) == 1)
    ((id_, delay_s, error),) = shelf.postponed
    assert delay_s > 10_000 * DAY_S
    of_one = replace(shelf.outstanding_effects[id_], id="a:call:1", last_error=error)
    assert of_one.needs_attention
    assert not replace(of_one, last_error="ProviderError: 500").needs_attention
    assert circuit.state is CircuitState.CLOSED
    errors = [line["event"] for line in logs if line["log_level"] == "error"]
    assert errors == ["effect_needs_attention"]


async def test_a_hundred_failing_effects_do_not_starve_others() -> None:
    """They were owed first, fail for ever, and open the circuit: a probe is one not tried yet."""
    shelf = Shelf()
    circuit = Circuit("test", "test", cool_s=0.05, cool_max_s=30)
    shelf.owe(*(f"bad-{n}" for n in range(100)))

    async def runner(call: Call, attempt: Attempt) -> Answered:
        if call.name.startswith("bad"):
            raise ConnectionError("lost")
        return await at_once(call, attempt)

    async with working(shelf, runner, circuit=circuit, concurrency=10):
        await until_async(lambda: circuit.state is CircuitState.OPEN)
        shelf.owe(*(f"good-{n}" for n in range(20)))
        await until_async(lambda: len(shelf.decided) == 20, seconds=30)
    assert all(name.startswith("bad") for name in shelf.outstanding_effects)


async def test_a_provider_that_says_when_is_asked_then() -> None:
    shelf = Shelf()
    shelf.owe("a")

    async def runner(call: Call, attempt: Attempt) -> Answered:
        if attempt.number == 1:
            raise ProviderError("too fast", retry_after_s=120)
        return await at_once(call, attempt)

    async with working(shelf, runner):
        await until_async(lambda: not shelf.outstanding_effects)
    assert [(name, delay) for name, delay, _ in shelf.postponed] == [("a", 120)]


async def test_outcomes_that_can_not_be_written_are_known_still_and_written_later() -> None:
    shelf, calls = Shelf(away=3), 0
    shelf.owe("a")

    async def runner(call: Call, attempt: Attempt) -> Answered:
        nonlocal calls
        calls += 1
        return await at_once(call, attempt)

    async with working(shelf, runner):
        await until_async(lambda: not shelf.outstanding_effects)
    assert calls == 1


async def test_an_outcome_that_can_not_be_decided_leaves_the_effect_owed() -> None:
    shelf = Shelf(undecidable={"a"})
    shelf.owe("a", "b")
    with capture_logs() as logs:
        async with working(shelf, at_once):
            await until_async(lambda: not shelf.outstanding_effects)
    assert "outcome_undecided" in [line["event"] for line in logs]
    assert shelf.postponed[0][0] == "a"
    assert sorted(shelf.decided) == ["a", "b"]


async def test_a_stop_waits_for_calls_under_way_and_keeps_their_outcomes() -> None:
    shelf, begun = Shelf(), asyncio.Event()
    shelf.owe("a")

    async def runner(call: Call, attempt: Attempt) -> Answered:
        begun.set()
        await asyncio.sleep(0.05)
        return await at_once(call, attempt)

    async with working(shelf, runner):
        await begun.wait()
    assert shelf.decided == ["a"]


async def test_an_open_circuit_leaves_the_provider_alone_but_for_one_probe_at_a_time() -> None:
    shelf, at_once_now, most = Shelf(), 0, [0]
    shelf.owe(*(f"n-{n}" for n in range(40)))
    well = asyncio.Event()

    async def runner(call: Call, attempt: Attempt) -> Answered:
        nonlocal at_once_now
        at_once_now += 1
        most[-1] = max(most[-1], at_once_now)
        await asyncio.sleep(0.005)
        at_once_now -= 1
        if not well.is_set():
            raise ConnectionError("away")
        return await at_once(call, attempt)

    async with working(shelf, runner, concurrency=5) as worker:
        await until_async(lambda: worker.circuit.state is CircuitState.OPEN and not at_once_now)
        most.append(0)
        failed = len(shelf.postponed)
        await until_async(lambda: len(shelf.postponed) >= failed + 5)
        assert most == [5, 1]
        well.set()
        await until_async(lambda: not shelf.outstanding_effects)
    assert worker.circuit.state is CircuitState.CLOSED


async def test_what_is_handed_over_is_asked_for_without_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And if the call takes its time, the store is told that it is still somebody's."""
    monkeypatch.setattr(effects, "FIRST_LEASE_S", 0.1)
    shelf, answering = Shelf(), asyncio.Event()
    shelf.owe("a")
    row, effect = (
        OutboxRow("test.events", "a", b"{}", []),
        replace(shelf.outstanding_effects["a"], due_at=None),
    )
    effect.tries = 1
    result = BatchResult(Snapshot(), outbox=[row], outbox_ids=["1"], effects=[effect])
    shelf.due["a"] = math.inf

    async def runner(call: Call, attempt: Attempt) -> Answered:
        await answering.wait()
        return await at_once(call, attempt)

    local = LocalEffectQueue(frozenset({"Call"}))
    async with working(shelf, runner, local=local) as worker:
        worker.committed(Committed([], result))
        worker.sent(Sent([("1", row)]))
        await until_async(lambda: bool(shelf.postponed))
        assert shelf.postponed[0][:2] == ("a", worker.lease_s)
        answering.set()
        await until_async(lambda: not shelf.outstanding_effects)
    assert len(shelf.postponed) == 1
    assert shelf.leased_most == 0


async def test_what_is_owed_and_published_elsewhere_is_not_remembered_for_ever() -> None:
    """An instance that does not relay never hears that an intent is in the log."""
    shelf = Shelf()
    async with working(shelf, at_once) as worker:
        for n in range(10):
            effect = PendingEffect(f"e-{n}", f"e-{n}", "Call", b"{}", "")
            worker.committed(Committed([], BatchResult(Snapshot(), effects=[effect])))
        await until_async(lambda: not worker.soon)
