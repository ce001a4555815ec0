"""A server that stops leaves no request without an answer."""

import asyncio
from typing import Final

import pytest

from tests.chassis.wire import GET, Serving, serving

SLOW: Final = GET.replace(b"/health/live", b"/slow")


async def until_busy(server: Serving, count: int = 1) -> None:
    async with asyncio.timeout(10):
        while len(server.server.server_state.tasks) < count:
            await asyncio.sleep(0.01)


async def until_draining(server: Serving) -> None:
    async with asyncio.timeout(10):
        while not server.server.table.draining:
            await asyncio.sleep(0.01)


async def test_what_is_being_answered_gets_its_own_answer() -> None:
    async with serving() as server:
        wire, idle = await server.connect(), await server.connect()
        await (await idle.send(GET)).answer()
        await wire.send(SLOW)
        await until_busy(server)
        server.stopping.set()
        assert await idle.closed() == b""
        server.released.set()
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await wire.closed() == b""


async def test_what_takes_too_long_is_cut_off_with_a_problem_and_not_as_a_bug() -> None:
    async with serving(finish_s=0.2) as server:
        wire = await server.connect()
        await wire.send(SLOW)
        await until_busy(server)
        server.stopping.set()
        answer = await wire.answer()
        assert (answer.status, answer.code) == (503, "shutting_down")
        assert answer.headers["retry-after"] == "1"
        assert await wire.closed() == b""


async def test_while_it_drains_a_new_request_is_answered_and_its_connection_closed() -> None:
    async with serving(http_drain_s=0.5) as server:
        kept = await server.connect()
        await (await kept.send(GET)).answer()
        server.stopping.set()
        await until_draining(server)
        for wire in (kept, await server.connect()):
            answer = await (await wire.send(GET)).answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await wire.closed() == b""


async def test_while_it_drains_what_was_being_answered_closes_its_connection_too() -> None:
    async with serving(http_drain_s=0.5) as server:
        wire = await server.connect()
        await wire.send(SLOW)
        await until_busy(server)
        server.stopping.set()
        await until_draining(server)
        server.released.set()
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await wire.closed() == b""


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_head_that_has_begun_may_be_completed(*, goes_on: bool) -> None:
    async with serving() as server:
        wire = await server.connect()
        await wire.send(GET[:30])
        async with asyncio.timeout(10):
            while not server.server.server_state.connections:
                await asyncio.sleep(0.01)
        server.stopping.set()
        await until_draining(server)
        await asyncio.sleep(0.3)  # the server has told its connections
        if goes_on:
            await wire.send(GET[30:])
        answer = await wire.answer()
        assert answer.status == (200 if goes_on else 408)
        assert answer.headers["connection"] == "close"
