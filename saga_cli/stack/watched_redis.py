"""A primary of Redis with a replica, and a sentinel that promotes it: local processes, for trials."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from saga_cli.stack import binaries, ports
from saga_cli.stack.processes import ChildProcess
from saga_cli.stack.servers import DURABLE_REDIS
from saga_cli.stack.state import write_private

NAME: Final = "points"
"""Of the primary, as the sentinel knows it."""
SENTINEL: Final = """
bind 127.0.0.1
port {port}
sentinel monitor {name} 127.0.0.1 {primary} 1
sentinel down-after-milliseconds {name} {down_after_ms}
sentinel failover-timeout {name} 5000
"""
READY_S: Final = 60.0
LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class WatchedRedis:
    """Ports are of the primary, of the replica and of the sentinel, in this order."""

    primary: ChildProcess
    ports: tuple[int, int, int]

    @classmethod
    def started(cls, held: ExitStack, folder: Path, down_after_ms: int = 1000) -> Self:
        """The replica has a copy, and the sentinel knows it; they end with `held`."""
        taken = [ports.hold() for _ in range(3)]
        for port in taken:
            held.callback(port.release)
        primary, replica, sentinel = (port.number for port in taken)
        first = _server(held, folder, "redis-primary", primary)
        of = ("--replicaof", "127.0.0.1", str(primary))
        _server(held, folder, "redis-replica", replica, *of)
        asyncio.run(_until(primary, _has_copy))
        config = folder / "sentinel.conf"
        text = SENTINEL.format(
            port=sentinel, name=NAME, primary=primary, down_after_ms=down_after_ms
        )
        write_private(config, text)
        command = [binaries.redis_server(), str(config), "--sentinel"]
        _begin(held, ChildProcess("sentinel", command, folder / "sentinel.log"))
        asyncio.run(_until(sentinel, _knows_replica))
        return cls(first, (primary, replica, sentinel))

    def variables(self, prefix: str, number: int) -> dict[str, str]:
        """Settings of a service whose Redis this is."""
        return {
            f"{prefix}_REDIS_URL": f"redis://{NAME}/{number}",
            f"{prefix}_REDIS_SENTINELS": f"127.0.0.1:{self.ports[2]}",
        }

    @property
    def replica_url(self) -> str:
        return f"redis://127.0.0.1:{self.ports[1]}"


def _server(held: ExitStack, folder: Path, name: str, port: int, *more: str) -> ChildProcess:
    data = folder / name
    data.mkdir(mode=0o700)
    listens = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(data))
    durable = (*DURABLE_REDIS, "--repl-diskless-sync-delay", "0")
    command = [binaries.redis_server(), *durable, *listens, *more]
    return _begin(held, ChildProcess(name, command, folder / f"{name}.log"))


def _begin(held: ExitStack, process: ChildProcess) -> ChildProcess:
    process.start()
    held.callback(process.kill)
    return process


async def _has_copy(client: Redis) -> bool:
    found: Any = await client.info("replication")
    return "online" in str(found.get("slave0"))


async def _knows_replica(client: Redis) -> bool:
    found: Any = await client.sentinel_master(NAME)
    return int(found["num-slaves"]) == 1


async def _until(port: int, is_so: Callable[[Redis], Awaitable[bool]]) -> None:
    """Raises RuntimeError when it is not so in time."""
    until = time.monotonic() + READY_S
    async with Redis(host="127.0.0.1", port=port, socket_timeout=1) as client:
        while time.monotonic() < until:
            with suppress(RedisError, OSError):  # it has not begun to listen
                if await is_so(client):
                    return
            await asyncio.sleep(LOOK_S)
    raise RuntimeError(f"the Redis at {port} is not as it should be after {READY_S:.0f} s")
