"""The relay is woken by a commit of its process; its poll only finds what other instances wrote."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.decide import BatchResult, Snapshot, adapter_of
from chassis.decision import nothing
from chassis.kafka.consumer import ConsumerSession
from chassis.message import Message, OutboxRow, PendingEffect
from chassis.outbox import sender as sender_module
from chassis.process.runtime import Node, assemble
from chassis.process.settings import ServiceSettings
from chassis.service import Provider
from chassis.store import Pending
from payment_svc.messages import Capture, CaptureSucceeded
from payment_svc.service import SERVICE
from shared_events.inventory import StockReserved
from tests.support.producers import KeepingProducer
from tests.support.records import a_message, an_order
from tests.support.stopped_clock import StoppedClock
from tests.support.waiting import until_async

HOUR_S = 3600.0
CAPTURE = Capture(order_id="o-1", amount_minor=1, currency="EUR", token="tok_x")
Commit = Callable[[Node], Coroutine[Any, Any, None]]


class Memory:
    """A store in which every message leads to one row of the outbox."""

    keeps_positions = False
    is_durable = True
    leads = True

    def __init__(self) -> None:
        self.rows: dict[str, OutboxRow] = {}
        self.ids = itertools.count()
        self.outstanding_effects: list[PendingEffect] = []
        self.asked = asyncio.Event()
        self.committed = asyncio.Event()

    @asynccontextmanager
    async def begin(self, *, is_retry: bool = False) -> AsyncIterator["Memory"]:
        assert not is_retry
        yield self

    async def read(self, _: Sequence[Message]) -> Snapshot:
        return Snapshot()

    async def commit(self, result: BatchResult) -> None:
        result.outbox = [OutboxRow("payment.events", "o-1", b"{}", []) for _ in result.outcomes]
        result.outbox_ids = [str(next(self.ids)) for _ in result.outbox]
        self.rows.update(zip(result.outbox_ids, result.outbox, strict=True))
        self.committed.set()

    async def resign(self) -> None: ...

    async def lead(self) -> bool:
        return True

    async def pending(self, limit: int, *, known: object = None) -> Pending:
        del known
        self.asked.set()
        rows = list(self.rows.items())
        return Pending(rows[:limit], is_end=len(rows) <= limit, any_refused=False)

    async def acknowledge(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            del self.rows[id_]

    async def due_effects(self, *_: object, **__: object) -> list[PendingEffect]:
        due, self.outstanding_effects = self.outstanding_effects, []
        return due


async def captured(_effect: Any, _attempt: Any) -> CaptureSucceeded:
    return CaptureSucceeded(order_id="o-1", provider_ref="ch-1")


def a_command() -> Message:
    return a_message(StockReserved(order=an_order()))


async def by_a_command(node: Node) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(node.commands.run(node.stopping))
        await node.commands.execute(a_command())


async def by_a_batch(node: Node) -> None:
    session = ConsumerSession(node.consumer, node.stopping)
    await session.decide([a_command()])


async def by_an_outcome(node: Node) -> None:
    store: Any = node.store
    store.outstanding_effects.append(
        PendingEffect(
            id="o-1:capture:1",
            key="o-1",
            kind="Capture",
            body=adapter_of(Capture).dump_json(CAPTURE),
            traceparent="",
            due_at=datetime.now(UTC),
        )
    )
    await node.extras["effects"](node.stopping)


def a_node(store: Memory, poll_s: float) -> Node:
    settings = ServiceSettings(kafka_bootstrap="127.0.0.1:1", auth="off")
    provider = Provider("provider", {"Capture": captured})
    memory: Any = store
    service = replace(SERVICE, decide=lambda *_: nothing("it is a test"))
    node = assemble(service, settings, memory, memory, provider)
    node.relay.poll_s = node.relay.idle_poll_s = poll_s
    return node


async def emptied(store: Memory) -> None:
    await until_async(lambda: not store.rows, 5, "an empty outbox")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setattr(sender_module, "make_producer", lambda *_: KeepingProducer())
    return Memory()


@pytest.mark.parametrize("commit", [by_a_command, by_a_batch, by_an_outcome])
async def test_a_commit_is_relayed_without_waiting_for_the_poll(
    store: Memory, commit: Commit
) -> None:
    node, end = a_node(store, poll_s=HOUR_S), asyncio.Event()
    relaying = asyncio.create_task(node.relay.run(end))
    await asyncio.wait_for(store.asked.wait(), 5)
    async with asyncio.TaskGroup() as group:
        group.create_task(commit(node))
        await asyncio.wait_for(store.committed.wait(), 5)
        await emptied(store)
        node.stopping.set()
    end.set()
    node.relay.wake.set()
    await relaying


async def test_the_poll_finds_what_another_instance_wrote(store: Memory) -> None:
    node, end = a_node(store, poll_s=0.01), asyncio.Event()
    relaying = asyncio.create_task(node.relay.run(end))
    await asyncio.wait_for(store.asked.wait(), 5)
    store.rows["theirs"] = OutboxRow("payment.events", "o-1", b"{}", [])
    await emptied(store)
    end.set()
    await relaying


@pytest.mark.parametrize("look_ms", [20, 100, 1000])
def test_how_often_an_idle_relay_looks_is_a_setting(look_ms: int) -> None:
    settings = ServiceSettings(kafka_bootstrap="127.0.0.1:1", auth="off", outbox_look_ms=look_ms)
    memory: Any = Memory()
    assert assemble(SERVICE, settings, memory, memory).relay.idle_poll_s == look_ms / 1000


async def test_the_next_look_is_soon_only_where_others_write(
    store: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look costs CPU, and what this process commits wakes the relay."""
    clock, pauses = StoppedClock(monkeypatch), list[float]()
    node, end = a_node(store, poll_s=0.1), asyncio.Event()
    node.relay.poll_s, node.relay.acknowledge_every_s = 0.02, 0

    async def wait_for(event: asyncio.Event, seconds: float) -> bool:
        if event is node.relay.wake:
            pauses.append(seconds)
        await asyncio.sleep(0)
        return event.is_set()

    monkeypatch.setattr("chassis.clock.wait_for", wait_for)
    relaying = asyncio.create_task(node.relay.run(end))
    async with asyncio.TaskGroup() as group:
        group.create_task(by_a_command(node))
        await asyncio.wait_for(store.committed.wait(), 5)
        await emptied(store)
        await until_async(lambda: pauses, 5, "a pause")
        assert set(pauses) == {0.1}
        store.rows["theirs"] = OutboxRow("payment.events", "o-1", b"{}", [])
        clock.s += node.relay.idle_poll_s  # until then what this process wrote is all there is
        await until_async(lambda: pauses[-1] == 0.02, 5, "a look that is soon")
        clock.s += node.relay.idle_after_s + 0.1
        await until_async(lambda: pauses[-1] == 0.1, 5, "a later look")
        node.stopping.set()
    end.set()
    await relaying
