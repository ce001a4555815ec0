"""A link is whole, silent, slow, torn or closed, as it is told; the brokers' cables can be pulled."""

import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chaos import switch as switches
from chaos.proxy import Proxy
from saga_cli.stack.processes import ChildProcess
from tests.support.waiting import until

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[Proxy, bytearray]]:
    """A link to a server that sends back what it gets, and what it got."""
    got = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            got.extend(data)
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    link = Proxy(server.sockets[0].getsockname()[:2])
    await link.accept()
    try:
        yield link, got
    finally:
        await link.close()
        server.close()
        await server.wait_closed()


async def connected(link: Proxy) -> Ends:
    return await asyncio.open_connection("127.0.0.1", link.port.number)


async def received(ends: Ends, text: bytes) -> bytes:
    ends[1].write(text)
    async with asyncio.timeout(60):
        return await ends[0].readexactly(len(text))


async def silent(ends: Ends) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await ends[0].readexactly(1)


async def test_what_a_cut_link_holds_back_arrives_when_it_heals() -> None:
    async with echo() as (link, got):
        ends = await connected(link)
        assert await received(ends, b"hello") == b"hello"
        link.cut()
        ends[1].write(b"again")
        await silent(ends)
        assert got == b"hello"
        await link.heal()
        assert await received(ends, b"!") == b"a"
        assert await ends[0].readexactly(5) == b"gain!"
        ends[1].close()


async def test_a_link_that_is_cut_one_way_delivers_and_tells_nobody() -> None:
    async with echo() as (link, got):
        ends = await connected(link)
        link.cut(there=False)
        ends[1].write(b"done")
        await silent(ends)
        assert got == b"done"
        await link.heal()
        assert await ends[0].readexactly(4) == b"done"
        ends[1].close()


async def test_latency_is_paid_each_way() -> None:
    async with echo() as (link, _):
        ends = await connected(link)
        assert await received(ends, b"x") == b"x"
        link.latency_s = 0.1
        started = time.monotonic()
        assert await received(ends, b"y") == b"y"
        assert time.monotonic() - started >= 0.2
        ends[1].close()


async def test_a_reset_is_a_reset_and_the_next_connection_is_whole() -> None:
    async with echo() as (link, _):
        ends = await connected(link)
        assert await received(ends, b"x") == b"x"
        link.reset()
        with pytest.raises(ConnectionResetError):
            await ends[0].readexactly(1)
        again = await connected(link)
        assert await received(again, b"y") == b"y"
        again[1].close()


async def test_a_link_that_refuses_keeps_its_port_and_opens_again_there() -> None:
    async with echo() as (link, _):
        link.refuse()
        with pytest.raises(ConnectionRefusedError):
            await connected(link)
        await link.heal()
        ends = await connected(link)
        assert await received(ends, b"x") == b"x"
        ends[1].close()


def test_a_pulled_cable_silences_one_namespace_and_nothing_of_them_is_left_behind() -> None:
    """Where namespaces can't be had, that is said with the reason."""
    with tempfile.TemporaryDirectory() as place:
        before = socket.if_nameindex()
        switch = switches.build(2, Path(place))
        if isinstance(switch, str):
            assert switch, "no reason is given"
            return
        servers = [http_server(switch, number, Path(place)) for number in (1, 2)]
        try:
            until(lambda: answers(switch, 1) and answers(switch, 2))
            switch.pull(1)
            assert not answers(switch, 1)
            assert answers(switch, 2)
            switch.plug(1)
            until(lambda: answers(switch, 1))
        finally:
            for server in servers:
                server.kill()
            switch.close()
        until(lambda: socket.if_nameindex() == before)


def http_server(switch: switches.Switch, number: int, place: Path) -> ChildProcess:
    serve = [sys.executable, "-m", "http.server", "8000", "--bind", switch.address(number)]
    command = [*switch.within(number), *serve]
    process = ChildProcess(f"http-{number}", command, place / f"http-{number}.log", folder=place)
    process.start()
    return process


def answers(switch: switches.Switch, number: int) -> bool:
    try:
        socket.create_connection((switch.address(number), 8000), timeout=0.5).close()
    except OSError:
        return False
    return True
