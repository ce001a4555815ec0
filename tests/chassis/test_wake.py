"""The relay is woken by a commit of its process; its poll only finds what other instances wrote."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis import sender as sender_module
from chassis.consumer import _Session
from chassis.message import Done, Message, OutboxRow, PendingEffect
from chassis.runtime import Node, assemble
from chassis.service import Provider
from chassis.settings import ServiceSettings
from chassis.work import adapter_of
from payment_svc.messages import Capture, CaptureSucceeded
from payment_svc.service import SERVICE
from shared_events.inventory import StockReserved
from tests.support.records import a_message, an_order

HOUR_S = 3600.0
CAPTURE = Capture(order_id="o-1", amount_minor=1, currency="EUR", token="tok_x")
Commit = Callable[[Node], Coroutine[Any, Any, None]]


class Memory:
    """A store in which every message leads to one row of the outbox."""

    keeps_positions = False

    def __init__(self) -> None:
        self.rows: dict[str, OutboxRow] = {}
        self.ids = itertools.count()
        self.owed: list[PendingEffect] = []
        self.on_commit: list[object] = []
        self.asked = asyncio.Event()
        self.committed = asyncio.Event()

    async def handle(self, messages: Sequence[Message], _: object) -> list[Done]:
        for message in messages:
            self.rows[str(next(self.ids))] = OutboxRow("payment.events", message.key, b"{}", [])
        self.committed.set()
        return [Done((), None) for _ in messages]

    async def lead(self) -> bool:
        return True

    def at_hand(self, *_: int) -> None: ...

    async def pending(self, limit: int) -> list[tuple[str, OutboxRow]]:
        self.asked.set()
        return list(self.rows.items())[:limit]

    async def acknowledge(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            del self.rows[id_]

    async def due_effects(self, *_: object, **__: object) -> list[PendingEffect]:
        due, self.owed = self.owed, []
        return due


class Batch:
    def append(self, **_: Any) -> object:
        return self

    def close(self) -> None: ...


class Broker:
    """A producer whose broker has one partition and takes everything."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def partitions_for(self, _: str) -> set[int]:
        return {0}

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, *_: Any, **__: Any) -> asyncio.Future[None]:
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sent.set_result(None)
        return sent


async def captured(_effect: Any, _attempt: Any) -> CaptureSucceeded:
    return CaptureSucceeded(order_id="o-1", provider_ref="ch-1")


def a_command() -> Message:
    return a_message(StockReserved(order=an_order()))


async def by_a_command(node: Node) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(node.commands.run(node.stopping))
        await node.commands.execute(a_command())


async def by_a_batch(node: Node) -> None:
    session = _Session(node.consumer, node.stopping)
    await session._decide([a_command()], [])


async def by_an_outcome(node: Node) -> None:
    store: Any = node.store
    store.owed.append(
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
    settings = ServiceSettings(kafka_bootstrap="127.0.0.1:1")
    provider = Provider("provider", {"Capture": captured})
    memory: Any = store
    node = assemble(SERVICE, settings, memory, memory, provider)
    node.relay.poll_s = poll_s
    return node


async def emptied(store: Memory) -> None:
    async with asyncio.timeout(5):
        while store.rows:
            await asyncio.sleep(0.001)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setattr(sender_module, "make_producer", lambda *_: Broker())
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
