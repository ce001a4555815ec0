"""What operators ask of the store in Redis: dead letters, whereabouts, the audit trail."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from chassis import clock
from chassis.errors import ConcurrentChangeError
from chassis.message import SKIP, Message, OperatorAction, Parked
from chassis.parking import kept, kept_row, message_of
from chassis.store import DeadLetter, Redriven, RefusedRow, Whereabouts
from chassis.work import States, Work, published_by, work_of
from loyalty_svc import keys
from loyalty_svc.batch import Batch, copied, refusal_of
from loyalty_svc.store import RedisStore

FAILED_AGAIN: Final = """
if redis.call('LINDEX', KEYS[2], 0) ~= ARGV[2] then return 'CONFLICT' end
redis.call('LSET', KEYS[2], 0, ARGV[3])
return 'DONE'
"""
DISCARD: Final = """
redis.call('ZCARD', KEYS[3])
redis.call('LLEN', KEYS[4])
if redis.call('LREM', KEYS[2], 1, ARGV[2]) == 0 then return 'CONFLICT' end
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('ZREM', KEYS[3], KEYS[2]) end
redis.call('RPUSH', KEYS[4], ARGV[3])
return 'DONE'
"""
SKIP_SCRIPT: Final = """
redis.call('LLEN', KEYS[2])
redis.call('HSET', KEYS[1], ARGV[1], '1')
redis.call('RPUSH', KEYS[2], ARGV[2])
"""
SETTLE: Final = """
redis.call('XLEN', KEYS[3])
redis.call('LLEN', KEYS[4])
if redis.call('HDEL', KEYS[2], ARGV[2]) == 0 then return 'GONE' end
redis.call('RPUSH', KEYS[4], ARGV[3])
if ARGV[4] == 'drop' then redis.call('XDEL', KEYS[3], ARGV[2]) end
return 'DONE'
"""
OUTBOX_PAGE: Final = 5000


@dataclass(frozen=True, slots=True)
class RedisOperations:
    store: RedisStore

    async def parked_keys(self) -> list[str]:
        names = await self.store.read("ZRANGE", keys.PARKED_KEYS, 0, -1)
        return [name.decode().removeprefix(keys.parked_key("")) for name in names]

    async def dead_letters(self, key: str) -> list[DeadLetter]:
        return [letter for _, letter in await self._letters(key)]

    async def redrive(
        self, key: str, by: str, *, note: str = "", dry_run: bool = False
    ) -> list[Redriven]:
        """As the protocol says; the states are carried on from one message to the next.

        Raises TransientError when Redis is away or somebody was faster; what went well stays.
        """
        done: list[Redriven] = []
        epoch = self.store.epoch
        states = await self.store.call(self.store.load_orders([key]))
        for entry, letter in await self._letters(key):
            message = message_of(letter.record)
            if isinstance(message, Parked):
                done.append(Redriven(letter.id, message))
            else:
                before, work = await self._decided(message, states)
                outcome = work.outcomes[0]
                done.append(Redriven(letter.id, outcome, published_by(outcome)))
                if not dry_run and not work.parked:
                    audit = _audit(by, "redrive", letter, note)
                    batch = Batch(self.store.redis.pipeline(transaction=False), epoch)
                    # its mark and its offset were written when it was parked
                    bare = replace(message, record=None)
                    self.store.apply(batch, bare, before, states, work, (entry, audit))
                    replies = await self.store.call(self.store.execute(batch))
                    if refused := refusal_of(replies[0]):
                        done[-1] = Redriven(letter.id, Parked(refused))
                    else:
                        _expect_done(replies, key)
            last = done[-1].outcome
            if isinstance(last, Parked):
                if not dry_run:
                    await self._failed_again(entry, letter, last.reason)
                break
        return done

    async def _decided(self, message: Message, states: States) -> tuple[States, Work]:
        await self.store.call(self.store.load_customers(states, [message]))
        before = copied(states, message.key)
        return before, work_of(self.store.service, states, [message], set())

    async def _failed_again(self, entry: bytes, letter: DeadLetter, reason: str) -> None:
        tried = replace(
            letter,
            last_reason=reason,
            attempts=letter.attempts + 1,
            last_tried_at=clock.now(),
        )
        values = (entry, keys.parked_entry(tried))
        reply = await self.store.guarded(FAILED_AGAIN, [keys.parked_key(letter.key)], *values)
        _expect_done([reply], letter.key)

    async def discard(self, key: str, by: str, reason: str, id_: str = "") -> DeadLetter | None:
        letters = await self._letters(key)
        chosen = next((pair for pair in letters if id_ in {"", pair[1].id}), None)
        if chosen is None:
            return None
        entry, letter = chosen
        places = [keys.parked_key(key), keys.PARKED_KEYS, keys.actions_key(key)]
        audit = _audit(by, "discard", letter, reason)
        reply = await self.store.guarded(DISCARD, places, entry, audit)
        _expect_done([reply], key)
        return letter

    async def whereabouts(self, key: str) -> Whereabouts:
        states = await self.store.call(self.store.load_orders([key]))
        state = states.own[key].state if key in states.own else self.store.service.initial
        waiting = await self._outbox_ids(key)
        oldest_s = keys.age_s(waiting[0], clock.now()) if waiting else 0.0
        letters = await self.dead_letters(key)
        refused = next((x.why for x in await self.refused(OUTBOX_PAGE) if x.row.key == key), "")
        name = type(state).__name__
        return Whereabouts(name, len(waiting), oldest_s, tuple(letters), (), refused)

    async def _outbox_ids(self, key: str) -> list[bytes]:
        """The whole stream is looked at: only an outage makes it long."""
        found: list[bytes] = []
        start = "-"
        while True:
            page = ("XRANGE", keys.OUTBOX, start, "+", "COUNT", OUTBOX_PAGE)
            rows: list[Any] = await self.store.read(*page)
            found += [id_ for id_, pairs in rows if keys.row_of(pairs).key == key]
            if len(rows) < OUTBOX_PAGE:
                return found
            start = f"({rows[-1][0].decode()}"

    async def refused(self, limit: int) -> list[RefusedRow]:
        entries = await self.store.read("HGETALL", keys.REFUSED)
        found = dict(zip(entries[::2], entries[1::2], strict=True))
        order = sorted(found, key=lambda id_: keys.place_in_stream(id_.decode()))
        rows = [await self._refused(id_, found[id_]) for id_ in order[:limit]]
        return [row for row in rows if row is not None]

    async def _refused(self, id_: bytes, entry: bytes) -> RefusedRow | None:
        found = await self.store.read("XRANGE", keys.OUTBOX, id_, id_)
        if not found:
            return None
        row, (why, at) = keys.row_of(found[0][1]), keys.refusal_of(entry)
        place = keys.place_in_stream(id_.decode())
        waiting = await self._outbox_ids(row.key)
        later = sum(keys.place_in_stream(other.decode()) > place for other in waiting)
        return RefusedRow(id_.decode(), row, why, at, later)

    async def release(self, id_: str, by: str, note: str) -> RefusedRow | None:
        return await self._settled(id_, by, "release", note)

    async def drop(self, id_: str, by: str, reason: str) -> RefusedRow | None:
        return await self._settled(id_, by, "drop", reason)

    async def _settled(self, id_: str, by: str, action: str, note: str) -> RefusedRow | None:
        entry = await self.store.read("HGET", keys.REFUSED, id_)
        found = await self._refused(id_.encode(), entry) if entry else None
        if found is None:
            return None
        what = OperatorAction(by, action, found.row.key, note, kept_row(found.row))
        places = [keys.REFUSED, keys.OUTBOX, keys.actions_key(found.row.key)]
        values = (id_, keys.audit_entry(clock.now(), what), action)
        done = await self.store.guarded(SETTLE, places, *values)
        return found if done == b"DONE" else None

    async def expedite(self, key: str, by: str) -> int:
        del key, by  # loyalty asks nobody
        return 0

    async def skip(self, topic: str, partition: int, offset: int, by: str, note: str) -> None:
        """Also while the data are lost: a rebuild may wait for it."""
        place = f"{topic}:{partition}:{offset}"
        audit = keys.audit_entry(clock.now(), OperatorAction(by, SKIP, place, note))
        places = (keys.SKIPPED, keys.actions_key(place))
        await self.store.call(self.store.redis.eval(SKIP_SCRIPT, 2, *places, place, audit))

    async def actions(self, key: str) -> list[tuple[datetime, OperatorAction]]:
        entries = await self.store.read("LRANGE", keys.actions_key(key), 0, -1)
        return [keys.action_of(entry) for entry in entries]

    async def _letters(self, key: str) -> list[tuple[bytes, DeadLetter]]:
        """Parked entries as they lie there, and what they say."""
        entries = await self.store.read("LRANGE", keys.parked_key(key), 0, -1)
        return [(entry, keys.letter_of(key, entry)) for entry in entries]


def _audit(by: str, action: str, letter: DeadLetter, note: str) -> bytes:
    what = OperatorAction(by, action, letter.key, note, kept(letter.record))
    return keys.audit_entry(clock.now(), what)


def _expect_done(replies: list[bytes], key: str) -> None:
    if replies != [b"DONE"]:
        raise ConcurrentChangeError(key)
