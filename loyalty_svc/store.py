"""The store in Redis: one Lua script does dedupe, state, points and outbox at once.

The offsets that were reached are kept here too, so a Redis that lost its last writes reads them
again. They follow when a whole batch is done, as one of its scripts may fail while later ones do
not; what comes again until then is known by its mark. With `appendfsync always` no reply comes
before its data is on disk; what the relay reads is therefore durable. Keys are never expired: an
order's own hash remembers its messages.

A Redis that lost everything looks like a new one. So the data have an epoch, a key that only a
rebuild writes, last: every script that reads or changes points checks it first (see rebuild.py).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from chassis import clock, ids
from chassis.errors import ConcurrentChangeError
from chassis.message import (
    Message,
    Outcome,
    Parked,
    PendingEffect,
    Record,
    Repeated,
    skipped_places,
)
from chassis.redis_types import WRITABLE
from chassis.service import Service
from chassis.store import DeadLetter
from chassis.work import States, Work, dead_letters_of, work_of
from loyalty_svc import keys
from loyalty_svc.batch import Batch, copied, refusal_of
from loyalty_svc.behind import is_behind
from loyalty_svc.outbox import RedisOutbox
from loyalty_svc.rebuild import Rebuild
from loyalty_svc.server import Server

REACH: Final = """
local further = {}
for i = 2, #ARGV, 2 do
  if tonumber(redis.call('HGET', KEYS[2], ARGV[i]) or '0') < tonumber(ARGV[i + 1]) then
    further[#further + 1] = i
  end
end
for _, i in ipairs(further) do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
"""


@dataclass(kw_only=True)
class RedisStore(RedisOutbox):
    service: Service
    bootstrap: str
    keeps_positions: bool = True
    takes: frozenset[str] = frozenset()
    on_commit: list[Callable[[Work, States], None]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    """Places of the own topic that could not be read when the data were looked at, or rebuilt."""

    @classmethod
    async def connect(
        cls, service: Service, url: str, bootstrap: str, *, keep_days: int = 7
    ) -> Self:
        server = Server()
        return cls(
            redis=server.client(url),
            server=server,
            keep_days=keep_days,
            service=service,
            bootstrap=bootstrap,
        )

    async def close(self) -> None:
        await self.resign()
        await self.redis.aclose()

    async def prepare(self, stopping: asyncio.Event) -> None:
        """Take up the epoch of whole data; rebuild them, or wait for whoever does, if they are lost.

        Only a consumer that starts calls this, so its positions and its epoch belong together.
        """
        try:
            self.epoch = await self.call(self._whole(stopping))
        except Exception as error:
            self.tell(f"the state in Redis is not usable: {error}")
            raise
        self.lost = False
        self.tell("")

    async def is_new(self) -> bool:
        return False  # `prepare` fills it

    def unreadable(self) -> str:
        """In words, what of the own topic could not be read; "" if all could be."""
        found = ", ".join(self.unread[:3])
        return f"{len(self.unread)} records of its topic can't be read: {found}" if found else ""

    async def _whole(self, stopping: asyncio.Event) -> str:
        looked_at, self.server.trusted = self.server.trusted, ""
        known = bool(self.epoch)
        while True:
            where = (self.service, self.redis, self.bootstrap)
            rebuild = Rebuild(*where, self.tell, unread=self.unread)
            epoch = await rebuild.whole(stopping, known=known)
            run = self.server.run
            same = (looked_at, self.epoch) == (run, epoch)
            if same or not await is_behind(
                self.redis, self.service, self.bootstrap, epoch, self.unread
            ):
                self.server.trusted = run
                return epoch
            known = True

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
        batch = self.batch()
        states, seen, parked_keys = await self._load(messages)
        outcomes: list[Outcome] = []
        total = Work()
        for message in messages:
            if message.record is not None and str(message.id) in seen:
                outcomes.append(Repeated())
                self.apply(batch, message, states, states, Work())
                continue
            before = copied(states, message.key)
            work = work_of(self.service, states, [message], parked_keys)
            if work.parked:
                parked_keys.add(message.key)
            self.apply(batch, message, before, states, work)
            outcomes += work.outcomes
            total.outbox += work.outbox
        for record, why in malformed:
            self._park(batch, record, why)
        replies = await self.execute(batch)
        refused = {n: why for n in range(len(messages)) if (why := refusal_of(replies[n]))}
        if refused:
            await self._park_refused(messages, refused)
        for number, message in enumerate(messages):
            if number in refused:
                outcomes[number] = Parked(refused[number])
            if replies[number] == b"CONFLICT":
                raise ConcurrentChangeError(message.key)
            if replies[number] == b"SEEN" and message.record is not None:
                outcomes[number] = Repeated()
        for told in self.on_commit:
            told(total, states)
        return outcomes

    def batch(self) -> Batch:
        if self.lost or not self.epoch:
            raise self.lose()
        return Batch(self.redis.pipeline(transaction=False), self.epoch)

    async def execute(self, batch: Batch) -> list[Any]:
        """A reply to each script: an error where it refused its message (see `refusal_of`).

        Raises RedisError for any other error.
        """
        replies: list[Any] = await batch.pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception) and not refusal_of(reply):
                raise reply
        if b"LOST" in replies:
            raise self.lose()
        return replies

    async def _park_refused(self, messages: Sequence[Message], why: dict[int, str]) -> None:
        """The later ones of a key were decided on what was not written: they conflict, and park then."""
        batch = self.batch()
        for number, reason in why.items():
            message = messages[number]
            if message.record is not None:
                work = Work(parked=[(message, reason)], outcomes=[Parked(reason)])
                self.apply(batch, message, States(), States(), work)
        if len(batch.pipe):
            await self.execute(batch)

    async def _load(self, messages: Sequence[Message]) -> tuple[States, set[str], set[str]]:
        if not messages:
            return States(), set(), set()
        orders = sorted({m.key for m in messages})
        pipe = self.redis.pipeline(transaction=False)
        pipe.exists(*map(keys.parked_key, orders))
        for message in messages:
            names = (*keys.STATE_FIELDS, f"m:{message.id}")
            pipe.hmget(keys.order_key(message.key), *names)
        named = sorted(States().references(self.service, messages))
        for customer in named:
            pipe.hmget(keys.customer_key(customer), *keys.CUSTOMER_FIELDS)
        parked_count, *rows = await pipe.execute()
        parked = await self._parked(orders) if parked_count else set()
        found = list(zip(messages, rows[: len(messages)], strict=True))
        seen = {str(m.id) for m, (*_, mark) in found if mark}
        states = States({m.key: keys.state_of(*row) for m, (*row, _) in found if row[0]})
        customers = zip(named, rows[len(messages) :], strict=True)
        states.shared = {customer: keys.customer_of(*row) for customer, row in customers}
        await self.load_customers(states, messages)
        return states, seen, parked

    async def _parked(self, orders: Sequence[str]) -> set[str]:
        pipe = self.redis.pipeline(transaction=False)
        for order in orders:
            pipe.exists(keys.parked_key(order))
        return {order for order, is_so in zip(orders, await pipe.execute(), strict=True) if is_so}

    async def load_orders(self, orders: Sequence[str]) -> States:
        pipe = self.redis.pipeline(transaction=False)
        for order in orders:
            pipe.hmget(keys.order_key(order), *keys.STATE_FIELDS)
        rows = await pipe.execute() if orders else []
        found = {k: keys.state_of(*row) for k, row in zip(orders, rows, strict=True) if row[0]}
        return States(own=found)

    async def load_customers(self, states: States, messages: Sequence[Message]) -> None:
        """Add the customers whom these messages may change, by the states of their orders."""
        customers = sorted(states.references(self.service, messages) - set(states.shared))
        pipe = self.redis.pipeline(transaction=False)
        for customer in customers:
            pipe.hmget(keys.customer_key(customer), *keys.CUSTOMER_FIELDS)
        for customer, row in zip(customers, await pipe.execute() if customers else (), strict=True):
            states.shared[customer] = keys.customer_of(*row)

    def apply(
        self,
        batch: Batch,
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
        batch.apply(
            6 + len(customers),
            *(keys.EPOCH, keys.order_key(key), keys.OUTBOX),
            *(keys.parked_key(key), keys.PARKED_KEYS, keys.actions_key(key)),
            *map(keys.customer_key, customers),
            *(batch.epoch, mark),
            "" if not work.outcomes or work.parked else version,
            *keys.state_values(row if changed else None),
            keys.parked_entry(_first_try(key, *parked[0])) if parked else b"",
            *redriven,
            len(rows),
            *(value for r in rows for value in keys.row_values(r)),
            *(v for name in customers for v in keys.delta(before, after, name)),
        )

    def _park(self, batch: Batch, record: Record, why: str) -> None:
        message = Message(
            id=ids.derived_id(*map(str, (record.topic, record.partition, record.offset))),
            key=record.subject,
            body=None,
            at=clock.now(),
            traceparent="",
            record=record,
        )
        work = Work(parked=[(message, why)], outcomes=[Parked(why)])
        self.apply(batch, message, States(), States(), work)

    async def project(self, records: Sequence[Record]) -> None:
        raise NotImplementedError("no topic is projected into Redis")

    async def skipped(self) -> frozenset[tuple[str, int, int]]:
        """Whatever the epoch: a rebuild goes by it as well."""
        found = await self.call(self.redis.hgetall(keys.SKIPPED))
        return skipped_places(place.decode() for place in found)

    async def positions(self) -> dict[tuple[str, int], int]:
        stored = await self.read("HGETALL", keys.OFFSETS)
        return keys.places_of(dict(zip(stored[::2], stored[1::2], strict=True)))

    async def reached(self, offsets: dict[tuple[str, int], int]) -> None:
        await self.guarded(REACH, [keys.OFFSETS], *keys.place_values(offsets))

    async def forget(self) -> int:
        return 0  # an order's messages are a part of it

    async def due_effects(
        self, kinds: tuple[str, ...], limit: int, lease_s: float, *, freshest: bool = False
    ) -> list[PendingEffect]:
        raise NotImplementedError("loyalty has no effects")

    async def postpone(self, effect: PendingEffect, delay_s: float, error: str) -> None:
        raise NotImplementedError("loyalty has no effects")

    async def standing(self, customer_id: str) -> list[bytes | None]:
        """A customer's points, and whether they are suspended."""
        key = keys.customer_key(customer_id)
        found: list[bytes | None] = await self.read("HMGET", key, "points", "suspended")
        return found

    async def backlog(self) -> dict[str, float]:
        """Raises TransientError also where Redis would refuse to write: full, read-only, its disk failing."""
        await self.call(self.redis.eval(WRITABLE, 0))
        oldest = await self.read("XRANGE", keys.OUTBOX, "-", "+", "COUNT", 1)
        age_s = keys.age_s(oldest[0][0], clock.now()) if oldest else 0.0
        return {
            "outbox_rows": float(await self.read("XLEN", keys.OUTBOX)),
            "outbox_oldest_seconds": age_s,
            "effects_owed": 0.0,
            "effects_needing_attention": 0.0,
            "parked_messages": float(await self.read("ZCARD", keys.PARKED_KEYS)),
            "outbox_refused": float(await self.read("HLEN", keys.REFUSED)),
        }


def _first_try(key: str, record: Record, why: str) -> DeadLetter:
    now = clock.now()
    return DeadLetter(keys.letter_id(record), key, record, why, why, 1, now, now)
