"""TLS in front of a server that has none: what comes over it is passed on, both ways."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any


class TlsProxy:
    """Made by `tls_proxy`; each new connection meets the certificate of the last `prove_with`."""

    def __init__(self, port: int) -> None:
        self.target, self.port = port, 0
        self._writers: set[asyncio.StreamWriter] = set()
        self.connections: set[asyncio.Task[Any]] = set()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def prove_with(self, both: Path) -> None:
        """`both` is a key and a certificate in PEM."""
        self._context.load_cert_chain(both)

    def cut(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers |= {writer, back}
        await asyncio.gather(_copied(reader, back), _copied(there, writer))
        self._writers -= {writer, back}
        self.connections.discard(task)


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def tls_proxy(port: int, both: Path) -> AsyncIterator[TlsProxy]:
    """In front of a port of this machine."""
    proxy = TlsProxy(port)
    proxy.prove_with(both)
    async with await proxy.serve():
        try:
            yield proxy
        finally:
            proxy.cut()
            await asyncio.gather(*proxy.connections, return_exceptions=True)
