"""Loyalty's data in Redis, read and changed only while they are those of the known epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from chassis.errors import StoreLostError, TransientError
from chassis.redis_types import AWAY, condemns, reconnect
from loyalty_svc import keys
from loyalty_svc.server import Server

GUARD: Final = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'LOST' end\n"
READ: Final = "return redis.call(ARGV[2], KEYS[2], unpack(ARGV, 3))"


@dataclass(kw_only=True)
class Guarded:
    """`lost` is for ever once it is so, until `prepare`; `ailing` says why."""

    redis: Redis
    server: Server
    lost: bool = False
    ailing: str = "Redis was not looked at yet"
    epoch: str = ""

    def tell(self, ailing: str) -> None:
        self.ailing = ailing

    def lose(self, why: str = "Redis has lost its data") -> StoreLostError:
        if self.epoch and not self.lost:
            self.lost = True
            self.tell(why)
        return StoreLostError(self.ailing)

    async def read(self, command: str, key: str, *values: Any) -> Any:
        """One command, if the data are those of the epoch."""
        return await self.guarded(READ, [key], command, *values)

    async def guarded(self, script: str, places: Sequence[str], *values: Any) -> Any:
        """Run a script if the data are those of the epoch. Raises StoreLostError if they are not."""
        if self.lost or not self.epoch:
            raise self.lose()
        names = (keys.EPOCH, *places)
        values = (*names, self.epoch, *values)
        reply = await self.call(self.redis.eval(GUARD + script, len(names), *values))
        if reply == b"LOST":
            raise self.lose()
        return reply

    async def call(self, awaitable: Any) -> Any:
        try:
            return await awaitable
        except AWAY as error:
            if condemns(error):
                await reconnect(self.redis)
            if self.server.is_another:
                raise self.lose(
                    "Redis was restarted or replaced; its data are looked at"
                ) from error
            raise TransientError(f"{type(error).__name__}: {error}") from error
