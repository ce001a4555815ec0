"""Leading when the database or Kafka answers with errors."""

import asyncio
import gc
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from chassis.errors import TransientError
from chassis.kafka import Cluster
from chassis.message import OutboxRow
from chassis.outbox import sender as sender_module
from chassis.outbox.relay import Relay
from chassis.postgres import PostgresDatabase
from chassis.postgres.store import PostgresStore
from chassis.store import Pending
from shipping_svc.service import SERVICE
from shipping_svc.store import SHIPMENTS
from tests.support.producers import KeepingProducer
from tests.support.waiting import until_async


class Refusing:
    """A connection on which every query times out."""

    async def fetchval(self, *_: object) -> object:
        raise TimeoutError


class Pool:
    """A pool that knows how many of its connections are out."""

    def __init__(self) -> None:
        self.out = 0

    async def acquire(self) -> Refusing:
        self.out += 1
        return Refusing()

    async def release(self, _: Refusing) -> None:
        self.out -= 1

    async def expire_connections(self) -> None:
        """Each is made for the one who asks."""


def test_a_failed_try_to_lead_gives_its_connection_back() -> None:
    """Kept, a few outages would empty the pool, and the relay would wait for ever."""
    pool = Pool()
    store = PostgresStore(
        database=PostgresDatabase.at("postgresql://r@h/d"),
        service=SERVICE,
        own=SHIPMENTS,
        shared=None,
        pool=pool,
        async_commit_pool=pool,
    )
    for _ in range(3):
        with pytest.raises(TransientError):
            asyncio.run(store.lead())
    assert pool.out == 0


@dataclass
class Outbox:
    """An outbox as several instances see it: one of them leads."""

    rows: dict[str, OutboxRow]
    leader: str = ""

    def seen_by(self, name: str) -> Any:
        return View(self, name)


@dataclass
class View:
    outbox: Outbox
    name: str

    async def lead(self) -> bool:
        self.outbox.leader = self.outbox.leader or self.name
        return self.outbox.leader == self.name

    async def resign(self) -> None:
        if self.outbox.leader == self.name:
            self.outbox.leader = ""

    async def pending(self, limit: int) -> Pending:
        rows = list(self.outbox.rows.items())
        return Pending(rows[:limit], is_end=len(rows) <= limit, any_refused=False)

    async def acknowledge(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            del self.outbox.rows[id_]


class CutOff(KeepingProducer):
    """A producer whose broker can't be reached."""

    async def start(self) -> None:
        raise ConnectionError("no broker answers")


async def test_an_instance_that_cannot_publish_lets_another_lead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cut off from Kafka, yet not from its store, it would hold up every order."""
    producers = {"cut": CutOff, "connected": KeepingProducer}
    monkeypatch.setattr(sender_module, "make_producer", lambda at, _: producers[at.bootstrap]())
    outbox = Outbox({"1": OutboxRow("shipping.events", "o-1", b"{}", [])})
    cut, connected = (
        Relay(outbox.seen_by(at), Cluster(at), at, lead_retry_s=0.01) for at in producers
    )
    assert await cut.outbox.lead()
    end = asyncio.Event()
    relaying = [asyncio.create_task(relay.run(end)) for relay in (cut, connected)]
    await until_async(lambda: not outbox.rows, 10, "the end of the outbox")
    assert outbox.leader == "connected"
    end.set()
    await asyncio.gather(*relaying)


@pytest.mark.parametrize("fails", [False, True])
async def test_who_ends_lets_another_lead_as_soon_as_nothing_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """A producer takes its time to stop; what it may still send must not meet another's."""
    seen = list[str]()
    view = Outbox({"1": OutboxRow("shipping.events", "o-1", b"{}", [])}).seen_by("one")
    producer = KeepingProducer(fails=lambda *_: ConnectionError("gone") if fails else None)
    resign = view.resign

    async def resigned() -> None:
        seen.append("resigned")
        await resign()

    async def stopped() -> None:
        seen.append("stopped")

    view.resign, producer.stop = resigned, stopped  # type: ignore[method-assign]
    monkeypatch.setattr(sender_module, "make_producer", lambda *_: producer)
    end = asyncio.Event()
    end.set()
    await Relay(view, Cluster("one"), "one").run(end)
    assert seen[:2] == (["stopped", "resigned"] if fails else ["resigned", "stopped"])
    assert view.outbox.leader == ""
    assert bool(view.outbox.rows) is fails


class Headers(list[Any]):
    """Of a row, and it can be asked whether it is still there."""


async def test_nothing_of_a_turn_that_failed_stays_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows may be large, and collections are few."""
    monkeypatch.setattr(sender_module, "make_producer", lambda *_: KeepingProducer())
    view = Outbox({}).seen_by("one")
    read: list[weakref.ref[Headers]] = []

    async def pending(limit: int) -> Pending:
        headers = Headers()
        read.append(weakref.ref(headers))
        row = OutboxRow("shipping.events", "o-1", b"{}", headers)
        return Pending([(str(limit), row)], is_end=True, any_refused=False)

    async def acknowledge(ids: Sequence[str]) -> None:
        raise TransientError(f"the database is away: {len(ids)}")

    view.pending, view.acknowledge = pending, acknowledge
    relay, end = (
        Relay(view, Cluster("one"), "one", resigned_s=0.01, acknowledge_every_s=0),
        asyncio.Event(),
    )
    gc.disable()
    try:
        relaying = asyncio.create_task(relay.run(end))
        await until_async(lambda: len(read) >= 3, 10, "a third read")
        assert [headers() for headers in read[:2]] == [None, None]
    finally:
        gc.enable()
    view.acknowledge = Outbox({}).seen_by("one").acknowledge
    view.pending = Outbox({}).seen_by("one").pending
    end.set()
    await relaying
