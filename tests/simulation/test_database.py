"""What a simulated world may do to the database in memory, which no test can do to a real one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chassis.errors import TransientError
from chassis.message import Decided, Duplicate, Message, PendingEffect
from shipping_svc.service import SERVICE
from simulation import database as databases
from simulation.database import Database, Transaction
from simulation.memory_inspection import MemoryInspection
from simulation.memory_store import MemoryStore
from tests.integration.chassis_fixtures import in_memory
from tests.support.opened import Opened
from tests.support.records import an_order
from tests.support.relaying import due


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def stores(database: Database) -> tuple[Opened, Opened]:
    """Which read before they decide."""
    return reading(database), reading(database)


def reading(database: Database) -> Opened:
    store = MemoryStore(SERVICE, database)
    return Opened.of(SERVICE, store, MemoryInspection(store), fast_paths=frozenset())


def a_first() -> Message:
    return in_memory().first(an_order())


def at(name: str, then: Callable[[], Awaitable[Any]]) -> Callable[[str], Awaitable[None]]:
    """A world in which something happens once, at a statement."""
    left = [then]

    async def statement(reached: str) -> None:
        if reached == name and left:
            await left.pop()()

    return statement


async def fails() -> None:
    raise TransientError("the connection is broken")


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def settled() -> None:
    """Let all tasks go as far as they can."""
    for _ in range(50):
        await asyncio.sleep(0)


def is_empty(database: Database) -> bool:
    held = (database.own, database.inbox, database.outbox, database.effects)
    return not any((*held, database.locks, database.open))


STATEMENTS = ("begin", "enter", "load", "save", "outbox", "effects", "commit")


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_statement_that_fails_leaves_nothing(
    database: Database, stores: tuple[Opened, Opened], name: str
) -> None:
    database.statement = at(name, fails)
    message = a_first()
    with pytest.raises(TransientError):
        await stores[0].handle([message])
    assert is_empty(database)
    assert isinstance((await stores[0].handle([message]))[0], Decided)


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_cancelled_transaction_leaves_nothing(
    database: Database, stores: tuple[Opened, Opened], name: str
) -> None:
    database.statement = at(name, never)
    task = asyncio.create_task(stores[0].handle([a_first()]))
    await settled()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_empty(database)


async def test_a_lost_reply_is_a_failure_although_all_is_there(
    database: Database, stores: tuple[Opened, Opened]
) -> None:
    database.statement = at("committed", fails)
    message = a_first()
    with pytest.raises(TransientError):
        await stores[0].handle([message])
    assert len(database.outbox) == 1
    assert await stores[0].handle([message]) == [Duplicate()]


async def test_what_is_committed_shows_before_its_reply_comes(
    database: Database, stores: tuple[Opened, Opened]
) -> None:
    gate = asyncio.Event()
    database.statement = at("committed", gate.wait)
    message = a_first()
    first = asyncio.create_task(stores[0].handle([message]))
    await settled()
    async with asyncio.timeout(60):
        assert await stores[1].handle([message]) == [Duplicate()]
    assert not first.done()
    gate.set()
    assert isinstance((await first)[0], Decided)


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_crashed_process_lets_others_go_on_and_never_does_itself(
    database: Database, stores: tuple[Opened, Opened], name: str
) -> None:
    dying, other = stores
    assert await dying.lead()
    gate = asyncio.Event()
    database.statement = at(name, gate.wait)
    message = a_first()
    dead = asyncio.create_task(dying.handle([message]))
    await settled()
    waiting = asyncio.create_task(other.handle([message]))
    await settled()
    database.crashed(dying.store)
    gate.set()
    assert isinstance((await waiting)[0], Decided)
    assert await other.lead()
    late = asyncio.create_task(dying.pending(1))
    await settled()
    assert not dead.done()
    assert not late.done()
    assert len(database.outbox) == 1
    for task in (dead, late):
        task.cancel()


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_restart_ends_what_is_open_and_the_right_to_relay(
    database: Database, stores: tuple[Opened, Opened], name: str
) -> None:
    store, other = stores
    assert await store.lead()
    gate = asyncio.Event()
    database.statement = at(name, gate.wait)
    message = a_first()
    task = asyncio.create_task(store.handle([message]))
    await settled()
    database.restart()
    gate.set()
    with pytest.raises(TransientError):
        await task
    assert is_empty(database)
    assert await other.lead()
    with pytest.raises(TransientError):
        await store.pending(1)
    assert not await store.lead()
    assert isinstance((await store.handle([message]))[0], Decided)


async def test_two_that_wait_for_each_other_are_told(
    database: Database, stores: tuple[Opened, Opened]
) -> None:
    async with Transaction(stores[0].store) as one:
        async with Transaction(stores[1].store) as two:
            await one.lock("shared", "a")
            await two.lock("shared", "b")
            waiting = asyncio.create_task(one.lock("shared", "b"))
            await settled()
            with pytest.raises(TransientError, match="deadlock"):
                await two.lock("shared", "a")
        await waiting
    assert is_empty(database)


async def test_who_waits_too_long_for_a_lock_gives_up(
    stores: tuple[Opened, Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "STATEMENT_S", 0.01)
    async with Transaction(stores[0].store) as one, Transaction(stores[1].store) as two:
        await one.lock("own", "a")
        with pytest.raises(TransientError, match="not free in time"):
            await two.lock("own", "a")


async def _acknowledged(database: Database, store: Opened) -> PendingEffect:
    """One row is with Kafka, one effect is leased; both are written down lazily."""
    assert await store.lead()
    await store.handle([a_first()])
    await store.acknowledge([id_ for id_, _ in await store.pending(9)])
    (leased,) = await due(store, ("Book",), 9, 60)
    assert database.outbox == {}
    return leased


async def test_a_crash_of_the_server_undoes_what_was_committed_lazily(
    database: Database, stores: tuple[Opened, Opened]
) -> None:
    leased = await _acknowledged(database, stores[0])
    database.restart(is_crash=True)
    assert [line.row.key for line in database.outbox.values()] == [leased.key]
    (again,) = await due(stores[0], ("Book",), 9, 60)
    assert (again.id, again.tries) == (leased.id, 1)


async def test_a_later_commit_puts_lazy_ones_on_disk(
    database: Database, stores: tuple[Opened, Opened]
) -> None:
    leased = await _acknowledged(database, stores[0])
    await stores[0].handle([a_first()])
    database.restart(is_crash=True)
    assert leased.key not in [line.row.key for line in database.outbox.values()]
    assert leased.id not in [e.id for e in await due(stores[0], ("Book",), 9, 60)]


async def test_a_checker_sees_what_each_commit_changed(
    database: Database, stores: tuple[Opened, Opened]
) -> None:
    seen: list[Transaction] = []
    database.on_commit.append(seen.append)
    store = stores[0]
    message = a_first()
    await store.handle([message])
    (first,) = seen
    assert (first.before["own"], first.after["own"][message.key].version) == ({}, 1)
    assert list(first.after["inbox"]) == [message.entry]
    assert [line.row.key for line in first.after["outbox"].values()] == [message.key]
    assert await store.lead()
    await store.acknowledge([str(id_) for id_ in first.after["outbox"]])
    assert seen[1].before["outbox"] == first.after["outbox"]
    assert await due(store, ("HandOver",), 9, 60) == []
    assert len(seen) == 2
    assert seen[1].client is stores[0].store
