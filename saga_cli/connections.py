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
class Answer:
    """Status 0 is none: the connection could not be made, or was lost."""

    status: int
    body: bytes = b""
    says_when: bool = False
    """It carries Retry-After."""


NONE: Final = Answer(0)
Told = Callable[[Answer], None]


class Connection(asyncio.Protocol):
    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.parser = HttpResponseParser(self)
        self.transport: Any = None
        self.told: Told | None = None
        self.body = b""
        self.says_when = False

    def ask(self, request: bytes, told: Told) -> None:
        assert self.told is None, "one request at a time"
        self.told, self.body, self.says_when = told, b"", False
        self.transport.write(request)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        told, self.told = self.told, None
        self.pool.gone(self)
        if told:
            told(NONE)

    def on_header(self, name: bytes, value: bytes) -> None:
        del value
        self.says_when |= name == b"retry-after"

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        told, self.told = self.told, None
        assert told is not None, "an answer that nobody asked for"
        answer = Answer(self.parser.get_status_code(), self.body, self.says_when)
        self.pool.free_again(self)
        told(answer)


@dataclass
class Pool:
    """At most `limit` connections, in turn to each address; who finds none free waits in line."""

    urls: Sequence[str]
    limit: int
    _free: list[Connection] = field(default_factory=list)
    _waiting: deque[tuple[bytes, Told]] = field(default_factory=deque)
    _open: int = 0
    _dialling: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        places = [urlsplit(url) for url in self.urls]
        self._turns = cycle([(place.hostname or "", place.port or 0) for place in places])

    def ask(self, request: bytes, told: Told) -> None:
        if self._free:
            self._free.pop().ask(request, told)
        elif self._open < self.limit:
            self._dial(request, told)
        else:
            self._waiting.append((request, told))

    def free_again(self, connection: Connection) -> None:
        if self._waiting:
            connection.ask(*self._waiting.popleft())
        else:
            self._free.append(connection)

    def gone(self, connection: Connection) -> None:
        if connection in self._free:
            self._free.remove(connection)
        self._closed()

    def close(self) -> None:
        for connection in tuple(self._free):
            connection.transport.close()

    def _dial(self, request: bytes, told: Told) -> None:
        self._open += 1
        task = asyncio.get_running_loop().create_task(self._connect(request, told))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _connect(self, request: bytes, told: Told) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self), *next(self._turns)
            )
        except OSError:
            self._closed()
            told(NONE)
        else:
            connection.ask(request, told)

    def _closed(self) -> None:
        self._open -= 1
        if self._waiting:
            self._dial(*self._waiting.popleft())
