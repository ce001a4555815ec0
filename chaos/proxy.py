"""One link of the network: a port that leads to a server, and all that may be wrong on the way."""

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from saga_cli.stack import ports

CHUNK: Final = 64 * 1024
RST: Final = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends a reset


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


@dataclass
class Proxy:
    """Bytes that a cut link holds back arrive when it heals, as TCP would send them again.

    `there` is the way to the server, `back` the way of its answers.
    """

    upstream: tuple[str, int]
    port: ports.Port = field(default_factory=ports.hold)
    latency_s: float = 0.0
    there: asyncio.Event = field(default_factory=_open_gate)
    back: asyncio.Event = field(default_factory=_open_gate)
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port.number}"

    async def accept(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._enter, "127.0.0.1", self.port.number)

    def refuse(self) -> None:
        """New connections are refused and those that are open are reset."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    def reset(self) -> None:
        for writer in self._writers:
            if not writer.transport.is_closing():
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
                writer.transport.abort()

    def cut(self, *, there: bool = True, back: bool = True) -> None:
        """Silence: nobody is told, and nothing passes."""
        if there:
            self.there.clear()
        if back:
            self.back.clear()

    async def heal(self) -> None:
        self.latency_s = 0.0
        self.there.set()
        self.back.set()
        await self.accept()

    async def close(self) -> None:
        await self.heal()
        self.refuse()
        if self._connections:
            await asyncio.wait(self._connections)
        self.port.release()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError):  # whoever is at the other end sees its connection close
                await self._carry(reader, writer)
        finally:
            writer.close()
            self._connections.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.there.wait()
        answers, outer = await asyncio.open_connection(*self.upstream)
        self._writers |= {writer, outer}
        ways = [self._pass(reader, outer, self.there), self._pass(answers, writer, self.back)]
        pumps = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers -= {writer, outer}
            outer.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        while True:
            data = await reader.read(CHUNK)
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            await gate.wait()  # the end of a connection is not told across a cut either
            if not data:
                return
            writer.write(data)
            await writer.drain()
