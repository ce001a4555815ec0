"""Keep-alive connections without pipelining: the cheapest honest HTTP client."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final
from urllib.parse import urlsplit

from httptools import HttpResponseParser


@dataclass(frozen=True, slots=True)
class Response:
    """Status 0 is none: the connection could not be made, or was lost."""

    status: int
    body: bytes = b""
    has_retry_after: bool = False


NONE: Final = Response(0)
OnResponse = Callable[[Response], None]


class ClientConnection(asyncio.Protocol):
    def __init__(self, pool: "ConnectionPool") -> None:
        self.pool = pool
        self.parser = HttpResponseParser(self)
        self.transport: Any = None
        self.on_response: OnResponse | None = None
        self.body = b""
        self.has_retry_after = False

    def ask(self, request: bytes, on_response: OnResponse) -> None:
        assert self.on_response is None, "one request at a time"
        self.on_response, self.body, self.has_retry_after = on_response, b"", False
        self.transport.write(request)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def connection_lost(self, _error: Exception | None) -> None:
        on_response, self.on_response = self.on_response, None
        self.pool.gone(self)
        if on_response:
            on_response(NONE)

    def on_header(self, name: bytes, _value: bytes) -> None:
        self.has_retry_after |= name == b"retry-after"

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        on_response, self.on_response = self.on_response, None
        assert on_response is not None, "an answer that nobody asked for"
        answer = Response(self.parser.get_status_code(), self.body, self.has_retry_after)
        self.pool.free_again(self)
        on_response(answer)


@dataclass
class ConnectionPool:
    """At most `limit` connections, in turn to each address; who finds none free waits in line."""

    urls: Sequence[str]
    limit: int
    _free: list[ClientConnection] = field(default_factory=list)
    _waiting: deque[tuple[bytes, OnResponse]] = field(default_factory=deque)
    _open: int = 0
    _dialling: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        places = [urlsplit(url) for url in self.urls]
        self._turns = cycle([(place.hostname or "", place.port or 0) for place in places])

    def ask(self, request: bytes, on_response: OnResponse) -> None:
        if self._free:
            self._free.pop().ask(request, on_response)
        elif self._open < self.limit:
            self._dial(request, on_response)
        else:
            self._waiting.append((request, on_response))

    def free_again(self, connection: ClientConnection) -> None:
        if self._waiting:
            connection.ask(*self._waiting.popleft())
        else:
            self._free.append(connection)

    def gone(self, connection: ClientConnection) -> None:
        if connection in self._free:
            self._free.remove(connection)
        self._closed()

    def close(self) -> None:
        for connection in tuple(self._free):
            connection.transport.close()

    def _dial(self, request: bytes, on_response: OnResponse) -> None:
        self._open += 1
        task = asyncio.get_running_loop().create_task(self._connect(request, on_response))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _connect(self, request: bytes, on_response: OnResponse) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: ClientConnection(self), *next(self._turns)
            )
        except OSError:
            self._closed()
            on_response(NONE)
        else:
            connection.ask(request, on_response)

    def _closed(self) -> None:
        self._open -= 1
        if self._waiting:
            self._dial(*self._waiting.popleft())
