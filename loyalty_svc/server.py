"""Which run of Redis we speak to: after a restart or a failover its data may be older ones."""

import re
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

AWAY: Final = (RedisError, OSError, RuntimeError)
"""What a client raises for a lost connection; the last is uvloop's, for one closed between commands."""


WRITABLE: Final = "#!lua\nreturn 1"
"""Writes nothing, but says by its first line that it may: Redis refuses it wherever it refuses a write."""


@dataclass
class Server:
    """`run` is the id that Redis gave itself at its start, as the newest connection told.

    `trusted` is the run whose data were looked at, "" while they are. Each connection asks before
    its first command; that of another run takes none.
    """

    run: str = ""
    trusted: str = ""

    def client(self, url: str) -> Redis:
        return Redis.from_url(
            url,
            socket_timeout=10,
            socket_connect_timeout=5,
            redis_connect_func=self._connected,
        )

    async def _connected(self, connection: Any) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        told = str(await connection.read_response())
        found = re.search(r"run_id:(\w+)", told)
        self.run = found[1] if found else ""
        if self.is_another:
            raise ResponseError("Redis was restarted or replaced: its data are looked at first")

    @property
    def is_another(self) -> bool:
        return self.trusted not in {"", self.run}
