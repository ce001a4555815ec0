"""The store in Redis: one Lua script does dedupe, state, points and outbox at once.

The script also keeps the offset it has reached, so a Redis that lost its last writes reads them
again. With `appendfsync always` no reply comes before its data is on disk; what the relay reads is
therefore durable. Keys are never expired: an order's own hash remembers its messages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chassis import clock, ids
from chassis.errors import ConcurrentChangeError, TransientError
from chassis.message import (
    Change,
    Message,
    OutboxRow,
    Outcome,
    Parked,
    PendingEffect,
    Record,
    Repeated,
)
from chassis.service import Service
from chassis.store import DeadLetter
from chassis.work import States, Work, dead_letters_of, work_of
from loyalty_svc import keys
from loyalty_svc.domain import Customer

APPLY: Final = (Path(__file__).parent / "apply.lua").read_text()
KEEP: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
REACH: Final = """
for i = 1, #ARGV, 2 do
  if tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0') < tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
"""
LEASE_MS: Final = 3000


@dataclass
class RedisStore:
    service: Service
    redis: Redis
    keeps_positions: bool = True
    on_commit: list[Callable[[Work, States], None]] = field(default_factory=list)
    token: str = field(default_factory=ids.new_id)

    @classmethod
    async def connect(cls, service: Service, url: str) -> Self:
        return cls(service, Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5))

    async def close(self) -> None:
        await self.resign()
        await self.redis.aclose()

    async def handle(
        self, messages: Sequence[Message], malformed: Sequence[tuple[Record, str]] = ()
    ) -> list[Outcome]:
        """Decide on a batch; each message is one atomic script, all in one round trip.

        Raises TransientError when Redis is away or another instance was faster; messages that
        were applied by then are recognised when they come again.
        """
        outcomes: list[Outcome] = await self.call(self._handle(messages, malformed))
        return outcomes

    async def _handle(
        self, messages: Sequence[Message], malformed: Sequence[tuple[Record, str]]
    ) -> list[Outcome]:
        states, seen, parked_keys = await self._load(messages)
        pipe = self.redis.pipeline(transaction=False)
        outcomes: list[Outcome] = []
        total = Work()
        for message in messages:
            if message.record is not None and str(message.id) in seen:
                outcomes.append(Repeated())
                self.apply(pipe, message, states, states, Work())
                continue
            before = copied(states, message.key)
            work = work_of(self.service, states, [message], parked_keys)
            if work.parked:
                parked_keys.add(message.key)
            self.apply(pipe, message, before, states, work)
            outcomes += work.outcomes
            total.outbox += work.outbox
        for record, why in malformed:
            self._park(pipe, record, why)
        replies = await pipe.execute()
        for number, message in enumerate(messages):
            if replies[number] == b"CONFLICT":
                raise ConcurrentChangeError(message.key)
            if replies[number] == b"SEEN" and message.record is not None:
                outcomes[number] = Repeated()
        for told in self.on_commit:
            told(total, states)
        return outcomes

    async def _load(self, messages: Sequence[Message]) -> tuple[States, set[str], set[str]]:
        orders = sorted({m.key for m in messages})
        pipe = self.redis.pipeline(transaction=False)
        for order in orders:
            pipe.exists(keys.parked_key(order))
        for message in messages:
            pipe.hexists(keys.order_key(message.key), f"m:{message.id}")
        replies = await pipe.execute()
        parked = {order for order, is_so in zip(orders, replies, strict=False) if is_so}
        marks = replies[len(orders) :]
        seen = {str(m.id) for m, mark in zip(messages, marks, strict=True) if mark}
        states = await self.load_orders(orders)
        await self.load_customers(states, messages)
        return states, seen, parked

    async def load_orders(self, orders: Sequence[str]) -> States:
        pipe = self.redis.pipeline(transaction=False)
        for order in orders:
            pipe.hmget(keys.order_key(order), "version", "status", "detail")
        rows = await pipe.execute() if orders else []
        found = {k: keys.state_of(*row) for k, row in zip(orders, rows, strict=True) if row[0]}
        return States(own=found)

    async def load_customers(self, states: States, messages: Sequence[Message]) -> None:
        """Add the customers whom these messages may change, but for those it has already."""
        customers = sorted(states.references(self.service, messages) - set(states.shared))
        pipe = self.redis.pipeline(transaction=False)
        for customer in customers:
            pipe.hmget(keys.customer_key(customer), "points", "suspended", "changes")
        for customer, row in zip(customers, await pipe.execute() if customers else (), strict=True):
            points, suspended, changes = (int(value or 0) for value in row)
            states.shared[customer] = Customer(
                points=points, suspended=bool(suspended), changes=changes
            )

    def apply(
        self,
        pipe: Any,
        message: Message,
        before: States,
        after: States,
        work: Work,
        redriven: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        """Queue one message's script; `redriven` are its parked entry, and the audit trail's."""
        record, key = message.record, message.key
        was, row = before.own.get(key), after.own.get(key)
        version = was.version if was else 0
        changed = row is not None and bool(work.outcomes) and row.version != version
        parked = [(m.record, why) for m, why in work.parked if m.record]
        rows = [*work.outbox, *dead_letters_of(self.service, parked)]
        customers = sorted(
            name for name, value in after.shared.items() if before.shared.get(name) is not value
        )
        mark = str(message.id) if record is not None else ""
        pipe.eval(
            APPLY,
            6 + len(customers),
            *(keys.order_key(key), keys.OFFSETS, keys.OUTBOX),
            *(keys.parked_key(key), keys.PARKED_KEYS, keys.actions_key(key)),
            *map(keys.customer_key, customers),
            *(keys.place_of(record), record.offset if record else 0, mark),
            "" if not work.outcomes or work.parked else version,
            *keys.state_values(row if changed else None),
            keys.parked_entry(_first_try(key, *parked[0])) if parked else b"",
            *redriven,
            len(rows),
            *(value for r in rows for value in keys.row_values(r)),
            *(v for name in customers for v in keys.delta(before, after, name)),
        )

    def _park(self, pipe: Any, record: Record, why: str) -> None:
        message = Message(
            id=ids.derived_id(*map(str, (record.topic, record.partition, record.offset))),
            key=record.subject,
            body=None,
            at=clock.now(),
            traceparent="",
            record=record,
        )
        work = Work(parked=[(message, why)], outcomes=[Parked(why)])
        self.apply(pipe, message, States(), States(), work)

    async def project(self, records: Sequence[Record]) -> None:
        raise NotImplementedError("no topic is projected into Redis")

    async def positions(self) -> dict[tuple[str, int], int]:
        stored = await self.call(self.redis.hgetall(keys.OFFSETS))
        places: dict[tuple[str, int], int] = {}
        for place, offset in stored.items():
            topic, partition = place.decode().rsplit(":", 1)
            places[topic, int(partition)] = int(offset)
        return places

    async def reached(self, offsets: dict[tuple[str, int], int]) -> None:
        values = [v for (topic, part), n in offsets.items() for v in (f"{topic}:{part}", n)]
        await self.call(self.redis.eval(REACH, 1, keys.OFFSETS, *values))

    async def lead(self, shard: int) -> bool:
        key = f"loyalty:relay:{shard}"
        taken = await self.call(self.redis.set(key, self.token, nx=True, px=LEASE_MS))
        return bool(taken) or await self._keep(shard)

    async def _keep(self, shard: int) -> bool:
        key = f"loyalty:relay:{shard}"
        return bool(await self.call(self.redis.eval(KEEP, 1, key, self.token, LEASE_MS)))

    async def resign(self) -> None:
        try:
            await self.redis.eval(KEEP, 1, "loyalty:relay:0", self.token, 1)
        except (RedisError, OSError):
            return  # the lease ends by itself

    async def pending(self, shard: int, limit: int) -> list[tuple[str, OutboxRow]]:
        if not await self._keep(shard):
            raise TransientError("another instance relays now")
        rows = await self.call(self.redis.xrange(keys.OUTBOX, count=limit))
        return [(id_.decode(), keys.row_of(fields)) for id_, fields in rows]

    async def acknowledge(self, shard: int, ids_: Sequence[str]) -> None:
        del shard
        await self.call(self.redis.xdel(keys.OUTBOX, *ids_))

    async def due_effects(
        self, kinds: tuple[str, ...], limit: int, lease_s: float
    ) -> list[PendingEffect]:
        raise NotImplementedError("loyalty has no effects")

    async def postpone(self, effect: PendingEffect, delay_s: float, error: str) -> None:
        raise NotImplementedError("loyalty has no effects")

    async def standing(self, customer_id: str) -> list[bytes | None]:
        """A customer's points, and whether they are suspended."""
        found: list[bytes | None] = await self.call(
            self.redis.hmget(keys.customer_key(customer_id), ["points", "suspended"])
        )
        return found

    async def backlog(self) -> dict[str, float]:
        oldest = await self.call(self.redis.xrange(keys.OUTBOX, count=1))
        age_s = keys.age_s(oldest[0][0], clock.now()) if oldest else 0.0
        return {
            "outbox_rows": float(await self.call(self.redis.xlen(keys.OUTBOX))),
            "outbox_oldest_seconds": age_s,
            "effects_owed": 0.0,
            "effects_needing_attention": 0.0,
            "parked_messages": float(await self.call(self.redis.zcard(keys.PARKED_KEYS))),
        }

    async def call(self, awaitable: Any) -> Any:
        try:
            return await awaitable
        except (RedisError, OSError, TimeoutError) as error:
            raise TransientError(f"{type(error).__name__}: {error}") from error


def copied(states: States, key: str) -> States:
    """The states before a message, as far as it may change them."""
    row = states.own.get(key)
    own = {key: Change(row.state, row.version)} if row else {}
    return States(own=own, shared=dict(states.shared))


def _first_try(key: str, record: Record, why: str) -> DeadLetter:
    now = clock.now()
    return DeadLetter(keys.letter_id(record), key, record, why, why, 1, now, now)
