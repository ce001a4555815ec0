"""A server that stops leaves no request without an answer."""

from typing import Final

import pytest

from tests.chassis.wire import GET, serving
from tests.support.waiting import until_async

SLOW: Final = GET.replace(b"/health/live", b"/slow")


async def test_what_is_being_answered_gets_its_own_answer() -> None:
    async with serving() as server:
        wire, idle = await server.connect(), await server.connect()
        await (await idle.send(GET)).answer()
        await wire.send(SLOW)
        await server.busy()
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
        await server.busy()
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
        await server.draining()
        for wire in (kept, await server.connect()):
            answer = await (await wire.send(GET)).answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await wire.closed() == b""


async def test_while_it_drains_what_was_being_answered_closes_its_connection_too() -> None:
    async with serving(http_drain_s=0.5) as server:
        wire = await server.connect()
        await wire.send(SLOW)
        await server.busy()
        server.stopping.set()
        await server.draining()
        server.released.set()
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await wire.closed() == b""


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_head_that_has_begun_may_be_completed(*, goes_on: bool) -> None:
    async with serving() as server:
        wire = await server.connect()
        await wire.send(GET[:30])
        await until_async(lambda: server.server.server_state.connections, 10, "a connection")
        server.stopping.set()
        await server.closing()
        if goes_on:
            await wire.send(GET[30:])
        answer = await wire.answer()
        assert answer.outcome == ((200, "") if goes_on else (408, "request_timeout"))
        assert answer.headers["connection"] == "close"
