"""A request that waits for its order ends in time, whatever becomes of the store or the process."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from chassis.errors import TransientError
from chassis.http import waiting
from chassis.http.waiting import LocalWaiters


async def no() -> bool:
    return False


async def away() -> bool:
    raise TransientError("the store is away")


async def silent() -> bool:
    return await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def _short_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "READ_TIMEOUT_S", 0.05)
    monkeypatch.setattr(waiting, "POLL_S", 0.01)


@pytest.mark.parametrize("look", [no, away, silent])
async def test_it_ends_with_the_process(look: Callable[[], Awaitable[bool]]) -> None:
    stopping = asyncio.Event()
    wait = asyncio.create_task(LocalWaiters().wait("o", 3600, look, stopping))
    await asyncio.sleep(0)
    stopping.set()
    async with asyncio.timeout(60):
        assert await wait is False


@pytest.mark.parametrize("look", [no, away, silent])
async def test_it_ends_with_its_time(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        assert await LocalWaiters().wait("o", 0.1, look) is False


async def test_a_look_that_failed_is_made_again() -> None:
    looks = iter((away, silent, no))

    async def look() -> bool:
        found = next(looks, None)
        return True if found is None else await found()

    async with asyncio.timeout(60):
        assert await LocalWaiters().wait("o", 3600, look) is True


async def test_what_is_seen_here_needs_no_look() -> None:
    waiters = LocalWaiters()
    wait = asyncio.create_task(waiters.wait("o", 3600, away))
    await asyncio.sleep(0)
    waiters.notify(["another", "o"])
    async with asyncio.timeout(60):
        assert await wait is True


async def test_each_of_several_requests_for_one_order_is_notified() -> None:
    waiters = LocalWaiters()
    patient = asyncio.create_task(waiters.wait("o", 3600, away))
    assert await waiters.wait("o", 0.02, away) is False
    waiters.notify(["o"])
    async with asyncio.timeout(60):
        assert await patient is True
    assert not waiters.events
