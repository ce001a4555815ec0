"""redis.asyncio's client, as far as it is used here: its own commands, on a simulated server."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from redis.asyncio import ConnectionPool
from redis.commands import AsyncCoreCommands
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as LateError

from simulation.redis_server import Hook, RedisServer

Connected = Callable[[Any], Awaitable[None]]
RedisWords = tuple[bytes, ...]
_encode: Final = ConnectionPool().get_encoder().encode  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class RedisClients:
    """Stands where the class redis.asyncio.Redis stood."""

    server: RedisServer

    def from_url(
        self,
        _url: str,
        *,
        redis_connect_func: Connected | None = None,
        socket_timeout: float | None = None,
        socket_connect_timeout: float | None = None,
        driver_info: None = None,
    ) -> "SimulatedRedis":
        assert driver_info is None, "the client's name is not sent"
        limits = (socket_timeout, socket_connect_timeout)
        return SimulatedRedis(self.server, redis_connect_func, *limits)


@dataclass
class RedisConnection:
    """What a function that is called at each new connection may do with it."""

    server: RedisServer
    start: int
    replies: deque[Any] = field(default_factory=deque)

    async def on_connect(self) -> None:
        """There is nothing to agree on."""

    async def send_command(self, *args: Any) -> None:
        self.replies.append(self.server.execute(*map(_encoded, args)))

    async def read_response(self) -> Any:
        return self.replies.popleft()

    def check(self) -> None:
        """Raises ConnectionError if the server was restarted or is away."""
        if self.server.down or self.start != self.server.starts:
            raise LostError("Connection closed by server.")


class RedisCommands(AsyncCoreCommands):
    """redis-py's own methods, each of which ends in `execute_command`."""

    _is_async_client: Literal[True] = True
    _event_dispatcher: Any = None


@dataclass
class SimulatedRedis(RedisCommands):
    """Connections are made when they are needed, kept, and made again when they are broken."""

    server: RedisServer
    connected: Connected | None = None
    timeout_s: float | None = None
    connect_timeout_s: float | None = None
    idle: list[RedisConnection] = field(default_factory=list)

    @property
    def connection_pool(self) -> Self:
        return self

    async def update_active_connections_for_reconnect(self) -> None:
        """One that is in use is none of the idle ones, and fails for itself."""

    async def disconnect(self, *, inuse_connections: bool = True) -> None:
        if inuse_connections:
            raise NotImplementedError("those in use are left to end")
        self.idle.clear()

    async def aclose(self) -> None:
        self.idle.clear()

    def pipeline(self, *, transaction: bool = True) -> "Pipeline":
        if transaction:
            raise NotImplementedError("MULTI and EXEC are not simulated")
        return Pipeline(self)

    async def execute_command(self, *command: Any, **_options: Any) -> Any:
        (reply,) = await self.round_trip([tuple(map(_encoded, command))])
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def round_trip(self, commands: list[RedisWords]) -> list[Any]:
        """Replies, errors among them. A connection that fails is thrown away."""
        connection = await self._connection()
        name = commands[0][0].decode() if len(commands) == 1 else "PIPELINE"
        await self._passed(self.server.request, name, self.timeout_s)
        connection.check()
        total = len(commands)
        done = total if self.server.cut is None else self.server.cut(total)
        replies = [self._reply(command) for command in commands[:done]]
        if done < total:
            raise LostError("Connection closed by server.")
        await self._passed(self.server.reply, name, self.timeout_s)
        connection.check()
        self.idle.append(connection)
        return replies

    def _reply(self, command: RedisWords) -> Any:
        try:
            reply = self.server.execute(*command)
        except ResponseError as failed:
            return failed
        if command[0] == b"HGETALL":
            return dict(zip(reply[::2], reply[1::2], strict=True))
        return (int(reply[0]), reply[1]) if command[0] == b"SCAN" else reply

    async def _connection(self) -> RedisConnection:
        while self.idle:
            connection = self.idle.pop()
            if not self.server.down and connection.start == self.server.starts:
                return connection
        await self._passed(self.server.request, "CONNECT", self.connect_timeout_s)
        connection = RedisConnection(self.server, self.server.starts)
        connection.check()
        if self.connected is not None:
            await self.connected(connection)
        return connection

    async def _passed(self, hook: Hook | None, name: str, timeout_s: float | None) -> None:
        """The time on the network, and its faults in redis-py's words."""
        if hook is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await hook(name)
        except TimeoutError as error:
            raise LateError("Timeout reading from the server") from error
        except OSError as error:
            raise LostError(str(error)) from error


@dataclass
class Pipeline(RedisCommands):
    """Commands on their way in one round trip, each for itself."""

    client: SimulatedRedis
    queued: list[RedisWords] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.queued)

    def execute_command(self, *command: Any, **_options: Any) -> Self:
        self.queued.append(tuple(map(_encoded, command)))
        return self

    async def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        """Replies of all; the first error is raised when all were sent, if it is to be."""
        queued, self.queued = self.queued, []
        replies = await self.client.round_trip(queued) if queued else []
        failed = next((reply for reply in replies if isinstance(reply, ResponseError)), None)
        if raise_on_error and failed is not None:
            raise failed
        return replies


def _encoded(value: Any) -> bytes:
    encoded: bytes = value.encode() if type(value) is str else _encode(value)
    return encoded
