"""A client that says byte for byte what it likes to a real server in this process."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from pydantic import BaseModel
from pydantic_core import from_json

from chassis.health import Condition
from chassis.http import PUBLIC, open_to
from chassis.http.app import make_app
from chassis.http.server import HttpServer
from chassis.process.settings import HttpLimits
from tests.support.callers import open_gate
from tests.support.waiting import until_async

GET: Final = b"GET /health/live HTTP/1.1\r\nHost: order\r\n\r\n"
PATIENCE_S: Final = 60


class NameBody(BaseModel):
    name: str


@dataclass
class WireAnswer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def outcome(self) -> tuple[int, str]:
        """Status, and the code of a problem; no code with a success."""
        return self.status, self.code if self.status >= 400 else ""

    @property
    def code(self) -> str:
        """Of a problem; raises AssertionError if it is none."""
        assert self.headers["content-type"] == "application/problem+json", self
        assert from_json(self.body)["status"] == self.status
        return str(from_json(self.body)["code"])


@dataclass
class Wire:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *parts: bytes) -> "Wire":
        """Whatever the other side makes of it: it may have closed already."""
        with contextlib.suppress(ConnectionError):
            for part in parts:
                self.writer.write(part)
                await self.writer.drain()
        return self

    async def answer(self) -> WireAnswer:
        """The next answer. Raises asyncio.IncompleteReadError where there is none."""
        async with asyncio.timeout(PATIENCE_S):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = (line.partition(": ") for line in lines[1:] if line)
            headers = {name.lower(): value for name, _, value in pairs}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
            return WireAnswer(int(lines[0].split()[1]), headers, body)

    async def closed(self) -> bytes:
        """What else there is, up to the end."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def gone(self, sending: "asyncio.Task[Wire]") -> None:
        """The client gives up sending, and its connection."""
        sending.cancel()
        await asyncio.wait([sending])
        self.writer.transport.abort()


@dataclass
class Serving:
    server: HttpServer
    port: int
    stopping: asyncio.Event
    released: asyncio.Event

    async def connect(self, origin: str = "127.0.0.1") -> Wire:
        to = ("127.0.0.1", self.port)
        return Wire(*await asyncio.open_connection(*to, local_addr=(origin, 0), limit=2**20))

    async def ask(self, *parts: bytes) -> WireAnswer:
        """The answer to a connection's first request, which has to be its last."""
        wire = await self.connect()
        await wire.send(*parts)
        answer = await wire.answer()
        assert answer.headers["connection"] == "close"
        assert await wire.closed() == b""
        return answer

    async def busy(self, count: int = 1) -> None:
        """Return when so many requests are being answered."""
        tasks = self.server.server_state.tasks
        await until_async(lambda: len(tasks) >= count, PATIENCE_S, f"{count} requests")

    async def draining(self) -> None:
        await until_async(lambda: self.server.table.draining, PATIENCE_S, "the end of its service")

    async def closing(self) -> None:
        """Return when it listens no more; its connections have been told so by then."""
        listeners = self.server.servers
        await until_async(lambda: not any(each.is_serving() for each in listeners), PATIENCE_S)

    async def is_served(self) -> bool:
        wire = await self.connect()
        return (await (await wire.send(GET)).answer()).status == 200


def an_app(released: asyncio.Event, add: Callable[[FastAPI], None] = lambda _: None) -> FastAPI:
    async def conditions() -> tuple[Condition, ...]:
        return ()

    app = make_app("order", conditions, open_gate())

    @app.post("/names")
    @open_to(PUBLIC)
    async def names(body: NameBody) -> dict[str, str]:
        return {"name": body.name}

    @app.api_route("/slow", methods=["GET", "POST"])
    @open_to(PUBLIC)
    async def slow() -> dict[str, str]:
        await released.wait()
        return {"status": "done"}

    @app.api_route("/large", methods=["GET"])
    @open_to(PUBLIC)
    async def large() -> dict[str, str]:
        return {"text": "x" * 4_000_000}

    @app.get("/any")
    @open_to(PUBLIC)
    async def any_names(x: str = "") -> dict[str, str]:
        return {"x": x}

    @app.get("/headers")
    @open_to(PUBLIC)
    async def headers(request: Request) -> dict[str, Any]:
        return {"headers": dict(request.headers), "length": len(await request.body())}

    @app.post("/broken")
    @open_to(PUBLIC)
    async def broken() -> None:
        raise ValueError("a bug")

    add(app)
    return app


@contextlib.asynccontextmanager
async def serving(finish_s: float = 5.0, **limits: Any) -> AsyncIterator[Serving]:
    """Stops at the end, and what has failed meanwhile is raised."""
    released, stopping = asyncio.Event(), asyncio.Event()
    server = HttpServer(an_app(released), "order", HttpLimits(**limits), finish_s)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        task = asyncio.create_task(server.serve_until(stopping, [listener]))
        try:
            await until_async(lambda: server.started, PATIENCE_S, "the server")
            yield Serving(server, listener.getsockname()[1], stopping, released)
        finally:
            released.set()
            stopping.set()
            await task
