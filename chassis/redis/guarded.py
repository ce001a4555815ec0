"""A service's data in Redis, read and changed only while they are those of the known epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from chassis import statement_spans
from chassis.errors import AccessError, ConcurrentChangeError, StoreLostError, TransientError
from chassis.redis import rights
from chassis.redis.keys import Keys
from chassis.redis.script import COMMIT, Script
from chassis.redis.server import Server
from chassis.redis.types import AWAY, condemns, reconnect

GUARD: Final = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'LOST' end\n"
REFUSED: Final = "REFUSED "
LACKING: Final = """
for _, probe in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(probe, '%S+') do words[#words + 1] = word end
  if not redis.acl_check_cmd(unpack(words)) then return probe end
end
"""
READ: Final = "return redis.call(ARGV[2], KEYS[2], unpack(ARGV, 3))"


class RefusedWriteError(ValueError):
    """The data of a batch can't be written, whoever tries."""


@dataclass(kw_only=True)
class Guarded:
    """`lost` is for ever once it is so, until `prepare`; `unavailable_reason` says why."""

    redis: Redis
    server: Server
    keys: Keys
    lost: bool = False
    unavailable_reason: str = "Redis was not looked at yet"
    epoch: str = ""
    denied: str = ""
    """What we were refused last; "" once its user has all rights."""

    def report(self, unavailable_reason: str) -> None:
        self.unavailable_reason = unavailable_reason

    def mark_lost(self, why: str = "Redis has lost its data") -> StoreLostError:
        if self.epoch and not self.lost:
            self.lost = True
            self.report(why)
        return StoreLostError(self.unavailable_reason)

    async def read(self, command: str, key: str, *values: Any) -> Any:
        """One command, if the data are those of the epoch."""
        return await self.guarded(READ, [key], command, *values, what=command)

    async def guarded(
        self, script: str, places: Sequence[str], *values: Any, what: str = "script"
    ) -> Any:
        """Run a script if the data are those of the epoch. Raises StoreLostError if they are not."""
        if self.lost or not self.epoch:
            raise self.mark_lost()
        names = (self.keys.epoch, *places)
        values = (*names, self.epoch, *values)
        reply = await self.call(
            self.redis.eval(GUARD + script, len(names), *values), f"EVAL {what}"
        )
        if reply == b"LOST":
            raise self.mark_lost()
        return reply

    async def commit(self, script: Script) -> list[str]:
        """Run a script that compares and writes; returns the ids of its outbox rows.

        Raises StoreLostError where the data are not those of its epoch, ConcurrentChangeError where
        a check failed, RefusedWriteError where what it adds can't be held. Nothing is written then.
        """
        status, *outbox_ids = await self.call(self._committed(script), "EVAL commit")
        if status == b"LOST":
            raise self.mark_lost()
        if status == b"CONFLICT":
            raise ConcurrentChangeError("another instance was first to write")
        return [id_.decode() for id_ in outbox_ids]

    async def _committed(self, script: Script) -> list[bytes]:
        try:
            reply: list[bytes] = await self.redis.eval(COMMIT, *script.arguments())
        except ResponseError as error:
            if str(error).startswith(REFUSED):
                raise RefusedWriteError(str(error).removeprefix(REFUSED)) from error
            raise
        return reply

    async def refuse_without_rights(self) -> None:
        """Once a right was missing: raises AccessError until the user has all of them."""
        if not self.denied:
            return
        probes = rights.probes(self.keys.epoch)
        if await self.call(self.redis.eval(LACKING, 0, *probes)):
            raise AccessError(self.denied)
        self.denied = ""

    async def call(self, awaitable: Any, what: str = "EVAL") -> Any:
        """`what` is the command, as a span of it is called."""
        try:
            with statement_spans.of_redis(what, self.redis):
                return await awaitable
        except AWAY as error:
            if condemns(error):
                await reconnect(self.redis)
            if self.server.is_another:
                raise self.mark_lost(
                    "Redis was restarted or replaced; its data are looked at"
                ) from error
            if why := self.server.database.explained(error):
                self.denied = why
                raise AccessError(why) from error
            raise TransientError(f"{type(error).__name__}: {error}") from error
