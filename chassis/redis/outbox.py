"""The outbox in Redis, as the relay sees it: a lease on the lead, a stream that waits, one that is kept."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from chassis import clock, ids, store_clock
from chassis.errors import ClockInDoubtError, LeadLostError, StoreLostError
from chassis.message import BATCH_BYTES, OutboxRow
from chassis.redis import keys
from chassis.redis.guarded import Guarded
from chassis.redis.types import AWAY
from chassis.store import Pending

KEEP: Final = """
if redis.call('PTTL', KEYS[2]) < ARGV[3] / 2 then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
"""  # not at each of fifty polls a second: every write is a write to disk
LEAD: Final = f"""
if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then return 1 end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
{KEEP}
return 1
"""
PENDING: Final = (Path(__file__).parent / "pending.lua").read_text()
REFUSE: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'OTHER' end
for n = 3, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[n], ARGV[n + 1]) end
"""
ACKNOWLEDGE: Final = (Path(__file__).parent / "acknowledge.lua").read_text()
ROTATE: Final = (Path(__file__).parent / "rotate.lua").read_text()
RESIGN: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
LEASE_MS: Final = 3000
CHUNK: Final = 1000


@dataclass(kw_only=True)
class RedisOutbox(Guarded):
    keep_days: int = 7
    dead_letter_topic: str = ""
    """The topic of dead letters' copies."""
    token: str = field(default_factory=ids.new_id)
    _leads_until: float = 0.0

    @property
    def leads(self) -> bool:
        return clock.monotonic() < self._leads_until

    async def lead(self) -> bool:
        """Not asked at every turn: `pending` asks as well, and keeps the lease."""
        now = clock.monotonic()
        if now < self._leads_until:
            return True
        try:
            taken = await self.guarded(LEAD, [self.keys.relay], self.token, LEASE_MS)
        except StoreLostError:
            return False  # there is nothing to relay until the consumer has seen to it
        self._leads_until = now + LEASE_MS / 2000 if taken else 0.0
        return bool(taken)

    async def resign(self) -> None:
        self._leads_until = 0.0
        try:
            await self.redis.eval(RESIGN, 1, self.keys.relay, self.token)
        except AWAY:
            return  # the lease ends by itself

    async def pending(
        self, limit: int, *shut: str, known: Mapping[str, OutboxRow] | None = None
    ) -> Pending:
        del known  # it is one round trip in any case
        places = [self.keys.relay, self.keys.outbox, self.keys.refused]
        bounds = (limit, BATCH_BYTES, self.dead_letter_topic)
        rows = await self._as_leader(PENDING, places, LEASE_MS, *bounds, *shut)
        found = [(id_.decode(), keys.row_of(pairs)) for id_, pairs in rows]
        return Pending(found, is_end=False, any_refused=False)

    async def refuse(self, refused: Mapping[str, str]) -> None:
        now = clock.now()
        values = [v for id_, why in refused.items() for v in (id_, keys.refusal(why, now))]
        await self._as_leader(REFUSE, [self.keys.relay, self.keys.refused], *values)

    async def _as_leader(self, script: str, places: Sequence[str], *values: Any) -> Any:
        reply = await self.guarded(script, places, self.token, *values)
        if reply == b"OTHER":
            self._leads_until = 0.0
            raise LeadLostError("another instance relays now")
        return reply

    async def acknowledge(self, ids_: Sequence[str]) -> None:
        if ids_:
            ends = (min(ids_, key=keys.place_in_stream), max(ids_, key=keys.place_in_stream))
            places = [self.keys.outbox, self.keys.published]
            await self.guarded(ACKNOWLEDGE, places, self.keep_days, *ends, *ids_)

    async def kept(self) -> AsyncIterator[list[OutboxRow]]:
        last = "-"
        while rows := await self.read("XRANGE", self.keys.published, last, "+", "COUNT", CHUNK):
            yield [keys.row_of(pairs) for _, pairs in rows]
            last = f"({rows[-1][0].decode()}"

    async def keeps_any(self) -> bool:
        return bool(await self.call(self.redis.xlen(self.keys.published)))  # whatever the epoch

    async def rotate_partitions(self) -> None:
        here = clock.now()
        spans = (store_clock.SKEW_MAX, store_clock.JUMP_MAX, store_clock.HOLD)
        values = [
            _ms(timedelta(days=self.keep_days)),
            round(here.timestamp() * 1000),
            *map(_ms, spans),
        ]
        now, jumped = await self.guarded(ROTATE, [self.keys.published, self.keys.clock], *values)
        if jumped != -1 and (why := store_clock.doubt(_instant(now), here, _instant(jumped))):
            raise ClockInDoubtError(why)


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)


def _instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
