"""Which run of Redis we speak to: after a restart or a failover its data may be older ones."""

import re
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, ResponseError

from chassis.redis.database import RedisDatabase


@dataclass
class Server:
    """`run` is whose data they are, as the newest connection told.

    It is the id that Redis gave itself at its start, and that of the history it writes, which is
    another one whenever it has become a replica or a primary.

    `trusted` is the run whose data were looked at, "" while they are. Each connection asks before
    its first command; that of another run, or to a replica, takes none.
    """

    database: RedisDatabase
    run: str = ""
    trusted: str = ""

    def client(self) -> Redis:
        return self.database.client(
            socket_timeout=10,
            socket_connect_timeout=5,
            redis_connect_func=self._connected,
        )

    async def _connected(self, connection: Any) -> None:
        await connection.on_connect()
        await connection.send_command("INFO")
        info = (await connection.read_response()).decode()
        self.run = f"{_field(info, 'run_id')}/{_field(info, 'master_replid')}"
        if (role := _field(info, "role")) != "master":
            raise ReadOnlyError(f"it is no primary now: {role or 'role unknown'}")
        if self.is_another:
            raise ResponseError("Redis was restarted or replaced: its data are looked at first")

    @property
    def is_another(self) -> bool:
        return self.trusted not in {"", self.run}


def _field(info: str, name: str) -> str:
    found = re.search(rf"^{name}:(\w+)", info, re.MULTILINE)
    return found[1] if found else ""
