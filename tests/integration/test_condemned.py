"""Sessions that are of no more use: read-only since a fail-over, ended by the server, out of step.

Each way is tried on all sessions of a store at once, as a fail-over leaves them. What was asked for then
is refused as an outage, once; the same in a new session goes well, with nothing restarted.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import asyncpg
import pytest

from chassis.errors import TransientError
from chassis.message import Decided
from chassis.postgres.pools import ENDED_SOON
from saga_cli.topology import Addresses
from tests.integration.chassis_fixtures import Kind, on_postgres
from tests.support.opened import Opened
from tests.support.records import an_order


async def _every_session(store: Opened, harm: Callable[[Any], Awaitable[object]]) -> None:
    """Harm all that are open, but not a leader's, which is none of the pool's now."""
    async with AsyncExitStack() as held:
        sessions = [
            await held.enter_async_context(pool.acquire())
            for pool in store.pools
            for _ in range(pool.get_idle_size())
        ]
        for session in sessions:
            await harm(session)


async def _read_only(session: Any) -> None:
    await session.execute("SET default_transaction_read_only = on")


async def _ended(session: Any) -> None:
    """By the server, which says so only to the next statement."""
    with pytest.raises(asyncpg.PostgresError):
        await session.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def _out_of_step(session: Any) -> None:
    """As behind a pooler that gives each statement another session: what was prepared is not there."""
    await session.execute("DEALLOCATE ALL")


WAYS: Final = {"read-only": _read_only, "ended": _ended, "out of step": _out_of_step}
each_way = pytest.mark.parametrize("harm", WAYS.values(), ids=WAYS)


@pytest.fixture
def kind(addresses: Addresses) -> Kind:
    return on_postgres(addresses)


@pytest.fixture
async def store(kind: Kind) -> AsyncIterator[Opened]:
    opened = await kind.connect(kind.service)
    yield opened
    await opened.close()


async def soon(ask: Callable[[], Awaitable[Any]], most: int) -> Any:
    """What it answers within so many tries; none may fail otherwise than an outage does."""
    for _ in range(most):
        try:
            return await ask()
        except TransientError:
            continue
    raise AssertionError(f"it failed {most} times")


@each_way
async def test_a_batch_goes_well_in_new_sessions(
    store: Opened, kind: Kind, harm: Callable[[Any], Awaitable[object]]
) -> None:
    await store.handle([kind.first(an_order())])  # so that its statements are prepared
    await _every_session(store, harm)
    (outcome,) = await soon(lambda: store.handle([kind.first(an_order())]), 2)
    assert isinstance(outcome, Decided)


@each_way
async def test_one_look_is_enough_to_replace_them_all(
    store: Opened, kind: Kind, harm: Callable[[Any], Awaitable[object]]
) -> None:
    """Not one failure a session: the gauges are measured where nobody writes."""
    await store.backlog()
    await _every_session(store, harm)
    await soon(store.backlog, 2)
    (outcome,) = await soon(lambda: store.handle([kind.first(an_order())]), 1 + (harm is _ended))
    assert isinstance(outcome, Decided)


@each_way
async def test_a_leader_leads_again_in_a_new_session(
    store: Opened, kind: Kind, harm: Callable[[Any], Awaitable[object]]
) -> None:
    """Its session holds the lock: on a server that takes no writes the lock is worth nothing."""
    assert await soon(store.lead, 5)
    await store.acknowledge([])
    await harm(store.leading)
    with pytest.raises(TransientError):
        await store.acknowledge(["0"])
    assert store.leading is None
    assert await soon(store.lead, 2)
    await store.acknowledge(["0"])


async def test_a_session_that_cannot_write_is_not_taken_up(
    addresses: Addresses, kind: Kind, store: Opened
) -> None:
    """A new one is asked first; the error says why there is none."""
    async with store.reading() as connection:
        role, database = await connection.fetchrow("SELECT current_user, current_database()")
    scope = f"ALTER ROLE {role} IN DATABASE {database}"
    admin = await asyncpg.connect(addresses.postgres_url)
    try:
        await admin.execute(f"{scope} SET default_transaction_read_only = on")
        await store.pool.expire_connections()
        with pytest.raises(TransientError, match="TargetServerAttribute"):
            await store.handle([kind.first(an_order())])
        await admin.execute(f"{scope} RESET default_transaction_read_only")
        (outcome,) = await store.handle([kind.first(an_order())])
        assert isinstance(outcome, Decided)
    finally:
        await admin.execute(f"{scope} RESET default_transaction_read_only")
        await admin.close()


async def test_the_server_notices_soon_that_a_machine_is_gone_without_a_word(store: Opened) -> None:
    """Its lock is nobody's then; by default that takes two hours."""
    for pool in store.pools:
        asked = [await pool.fetchval(f"SHOW {name}") for name in ENDED_SOON]
        assert asked == [*ENDED_SOON.values()]
