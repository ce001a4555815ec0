"""The store in Redis: one Lua script does dedupe, state, points and outbox at once.

The script also keeps the offset it has reached, so a Redis that lost its last writes reads them
again. With `appendfsync always` no reply comes before its data is on disk; what the relay reads is
therefore durable. Keys are never expired: an order's own hash remembers its messages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pydantic_core import from_json, to_json
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chassis import clock, ids, wire
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
from chassis.parking import message_of
from chassis.service import Service
from chassis.work import States, Work, adapter_of, dead_letters_of, work_of
from loyalty_svc.domain import Awarded, Customer, Deducted, Noted, Rejected

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
OFFSETS: Final = "loyalty:offsets"
OUTBOX: Final = "loyalty:outbox"
PARKED_KEYS: Final = "loyalty:parked-keys"
LEASE_MS: Final = 3000
STATES: Final = {state.__name__: state for state in (Noted, Awarded, Deducted, Rejected)}


def order_key(key: str) -> str:
    return f"loyalty:order:{key}"


def customer_key(key: str) -> str:
    return f"loyalty:customer:{key}"


def parked_key(key: str) -> str:
    return f"loyalty:parked:{key}"


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
        outcomes: list[Outcome] = await self._call(self._handle(messages, malformed))
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
                self._apply(pipe, message, states, states, Work())
                continue
            before = _copied(states, message.key)
            work = work_of(self.service, states, [message], parked_keys)
            if work.parked:
                parked_keys.add(message.key)
            self._apply(pipe, message, before, states, work)
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
        keys = sorted({m.key for m in messages})
        pipe = self.redis.pipeline(transaction=False)
        for key in keys:
            pipe.hmget(order_key(key), "version", "status", "detail")
            pipe.exists(parked_key(key))
        for message in messages:
            pipe.hexists(order_key(message.key), f"m:{message.id}")
        replies = await pipe.execute()
        states = States()
        parked = {key for n, key in enumerate(keys) if replies[2 * n + 1]}
        for number, key in enumerate(keys):
            version, status, detail = replies[2 * number]
            if version is not None:
                state = adapter_of(STATES[status.decode()]).validate_json(detail)
                states.own[key] = Change(state, int(version))
        marks = replies[2 * len(keys) :]
        seen = {str(m.id) for m, mark in zip(messages, marks, strict=True) if mark}
        await self._load_customers(states, messages)
        return states, seen, parked

    async def _load_customers(self, states: States, messages: Sequence[Message]) -> None:
        customers = sorted(states.references(self.service, messages))
        pipe = self.redis.pipeline(transaction=False)
        for customer in customers:
            pipe.hmget(customer_key(customer), "points", "suspended", "changes")
        for customer, row in zip(customers, await pipe.execute() if customers else (), strict=True):
            points, suspended, changes = (int(value or 0) for value in row)
            states.shared[customer] = Customer(
                points=points, suspended=bool(suspended), changes=changes
            )

    def _apply(
        self, pipe: Any, message: Message, before: States, after: States, work: Work
    ) -> None:
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
            5 + len(customers),
            *(order_key(key), OFFSETS, OUTBOX, parked_key(key), PARKED_KEYS),
            *map(customer_key, customers),
            *(_place(record), record.offset if record else 0, mark),
            "" if not work.outcomes or work.parked else version,
            *_state_values(row if changed else None),
            _entry(*parked[0]) if parked else b"",
            len(rows),
            *(value for r in rows for value in _row_values(r)),
            *(v for name in customers for v in _delta(before, after, name)),
        )

    def _park(self, pipe: Any, record: Record, why: str) -> None:
        key = record.subject
        message = Message(
            id=ids.derived_id(*map(str, (record.topic, record.partition, record.offset))),
            key=key,
            body=None,
            at=clock.now(),
            traceparent="",
            record=record,
        )
        work = Work(parked=[(message, why)], outcomes=[Parked(why)])
        self._apply(pipe, message, States(), States(), work)

    async def project(self, records: Sequence[Record]) -> None:
        raise NotImplementedError("no topic is projected into Redis")

    async def positions(self) -> dict[tuple[str, int], int]:
        stored = await self._call(self.redis.hgetall(OFFSETS))
        places: dict[tuple[str, int], int] = {}
        for place, offset in stored.items():
            topic, partition = place.decode().rsplit(":", 1)
            places[topic, int(partition)] = int(offset)
        return places

    async def reached(self, offsets: dict[tuple[str, int], int]) -> None:
        values = [v for (topic, part), n in offsets.items() for v in (f"{topic}:{part}", n)]
        await self._call(self.redis.eval(REACH, 1, OFFSETS, *values))

    async def lead(self, shard: int) -> bool:
        key = f"loyalty:relay:{shard}"
        taken = await self._call(self.redis.set(key, self.token, nx=True, px=LEASE_MS))
        return bool(taken) or await self._keep(shard)

    async def _keep(self, shard: int) -> bool:
        key = f"loyalty:relay:{shard}"
        return bool(await self._call(self.redis.eval(KEEP, 1, key, self.token, LEASE_MS)))

    async def resign(self) -> None:
        try:
            await self.redis.eval(KEEP, 1, "loyalty:relay:0", self.token, 1)
        except (RedisError, OSError):
            return  # the lease ends by itself

    async def pending(self, shard: int, limit: int) -> list[tuple[str, OutboxRow]]:
        if not await self._keep(shard):
            raise TransientError("another instance relays now")
        rows = await self._call(self.redis.xrange(OUTBOX, count=limit))
        return [
            (
                id_.decode(),
                OutboxRow(f[b"t"].decode(), f[b"k"].decode(), f[b"v"], wire.unpacked(f[b"h"])),
            )
            for id_, f in rows
        ]

    async def acknowledge(self, shard: int, ids_: Sequence[str]) -> None:
        del shard
        await self._call(self.redis.xdel(OUTBOX, *ids_))

    async def due_effects(self, limit: int, lease_s: float) -> list[PendingEffect]:
        raise NotImplementedError("loyalty has no effects")

    async def postpone(self, effect: PendingEffect, delay_s: float, error: str) -> None:
        raise NotImplementedError("loyalty has no effects")

    async def parked_keys(self) -> list[str]:
        names = await self._call(self.redis.zrange(PARKED_KEYS, 0, -1))
        return [name.decode().removeprefix(parked_key("")) for name in names]

    async def redrive(self, key: str) -> list[Outcome]:
        """Decide on the parked messages of a key in order; the first that fails ends it."""
        outcomes: list[Outcome] = []
        while entry := await self._call(self.redis.lindex(parked_key(key), 0)):
            record = _record_of(entry)
            message = message_of(record)
            if isinstance(message, Parked):
                return [*outcomes, message]
            states, _, _ = await self._load([message])
            before = _copied(states, key)
            work = work_of(self.service, states, [message], set())
            if work.parked:
                return [*outcomes, *work.outcomes]
            pipe = self.redis.pipeline(transaction=True)
            bare = Message(
                id=message.id, key=key, body=None, at=message.at, traceparent=message.traceparent
            )
            self._apply(pipe, bare, before, states, work)
            pipe.lpop(parked_key(key))
            replies = await self._call(pipe.execute())
            if replies[0] != b"DONE":
                raise ConcurrentChangeError(key)
            outcomes += work.outcomes
        await self._call(self.redis.zrem(PARKED_KEYS, parked_key(key)))
        return outcomes

    async def standing(self, customer_id: str) -> list[bytes | None]:
        """A customer's points, and whether they are suspended."""
        found: list[bytes | None] = await self._call(
            self.redis.hmget(customer_key(customer_id), ["points", "suspended"])
        )
        return found

    async def backlog(self) -> dict[str, float]:
        oldest = await self._call(self.redis.xrange(OUTBOX, count=1))
        age_s = clock.now().timestamp() - int(oldest[0][0].split(b"-")[0]) / 1000 if oldest else 0.0
        return {
            "outbox_rows": float(await self._call(self.redis.xlen(OUTBOX))),
            "outbox_oldest_seconds": age_s,
            "effects_owed": 0.0,
            "parked_messages": float(await self._call(self.redis.zcard(PARKED_KEYS))),
        }

    async def _call(self, awaitable: Any) -> Any:
        try:
            return await awaitable
        except (RedisError, OSError, TimeoutError) as error:
            raise TransientError(f"{type(error).__name__}: {error}") from error


def _copied(states: States, key: str) -> States:
    row = states.own.get(key)
    own = {key: Change(row.state, row.version)} if row else {}
    return States(own=own, shared=dict(states.shared))


def _place(record: Record | None) -> str:
    return f"{record.topic}:{record.partition}" if record is not None else ""


def _state_values(row: Change | None) -> tuple[Any, ...]:
    if row is None:
        return ("", "", b"")
    kind = type(row.state)
    return (row.version, kind.__name__, adapter_of(kind).dump_json(row.state))


def _row_values(row: OutboxRow) -> tuple[Any, ...]:
    return (row.topic, row.key, row.value or b"", wire.packed(row.headers))


def _delta(before: States, after: States, name: str) -> tuple[Any, ...]:
    old, new = before.shared.get(name, Customer()), after.shared[name]
    standing = (int(new.suspended), new.changes) if new.changes != old.changes else ("", "")
    return (new.points - old.points, *standing)


def _entry(record: Record, why: str) -> bytes:
    """A parked record as JSON; bytes are written as Latin-1 text, which keeps each of them."""
    key, value = (None if b is None else b.decode("latin-1") for b in (record.key, record.value))
    place = (record.topic, record.partition, record.offset)
    headers = wire.packed(record.headers).decode()
    return to_json([*place, key, value, headers, why])


def _record_of(entry: bytes) -> Record:
    topic, partition, offset, key, value, headers, _ = from_json(entry)
    raw_key, raw_value = (None if t is None else t.encode("latin-1") for t in (key, value))
    unpacked = tuple(wire.unpacked(headers.encode()))
    return Record(topic, partition, offset, raw_key, raw_value, unpacked)
