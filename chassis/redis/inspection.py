"""What operators ask of the store in Redis: dead letters, whereabouts, the audit trail."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from chassis import clock
from chassis.dead_letters import audit_text, audit_text_of_row
from chassis.errors import ConcurrentChangeError
from chassis.message import SKIP, OperatorAction
from chassis.redis import keys
from chassis.redis.script import Script
from chassis.redis.store import RedisStore
from chassis.redis.tables import STATE_FIELDS
from chassis.store import DeadLetter, RefusedRow, Whereabouts

SKIP_SCRIPT: Final = """
redis.call('LLEN', KEYS[2])
redis.call('HSET', KEYS[1], ARGV[1], '1')
redis.call('RPUSH', KEYS[2], ARGV[2])
"""
OUTBOX_PAGE: Final = 5000
ParkedEntry: TypeAlias = tuple[bytes, DeadLetter]
"""A parked entry as it lies there, and what it says."""


@dataclass(frozen=True, slots=True)
class RedisInspection:
    store: RedisStore

    async def parked_keys(self) -> list[str]:
        names = await self.store.read("ZRANGE", self.store.keys.parked_keys, 0, -1)
        return [name.decode().removeprefix(self.store.keys.parked("")) for name in names]

    async def dead_letters(self, key: str) -> list[DeadLetter]:
        return [letter for _, letter in await self._letters(key)]

    async def discard(self, key: str, by: str, reason: str, id_: str = "") -> DeadLetter | None:
        """Looks again whenever the list has changed: each time, another has done something to it."""
        while letters := await self._letters(key):
            chosen = next((pair for pair in letters if id_ in {"", pair[1].id}), None)
            if chosen is None:
                break
            with suppress(ConcurrentChangeError):
                await self._removed(key, letters, chosen, _audit(by, "discard", chosen[1], reason))
                return chosen[1]
        return None

    async def _removed(
        self, key: str, letters: Sequence[ParkedEntry], chosen: ParkedEntry, audit: bytes
    ) -> None:
        names, place = self.store.keys, self.store.keys.parked(key)
        script = Script(names.epoch, self.store.epoch)
        script.check("LLEN", place, "", len(letters))
        script.check("LINDEX", place, letters.index(chosen), chosen[0])
        script.write("LREM", place, 1, chosen[0])
        if len(letters) == 1:
            script.write("ZREM", names.parked_keys, place)
        script.write("RPUSH", names.actions(key), audit)
        await self.store.commit(script)

    async def whereabouts(self, key: str) -> Whereabouts:
        layout = self.store.layout
        found = self.store.redis.hmget(layout.own_key(key), *STATE_FIELDS)
        row = await self.store.call(found, "HMGET")
        state = layout.own.row_of(*row).state if row[0] else self.store.service.initial
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
            page = ("XRANGE", self.store.keys.outbox, start, "+", "COUNT", OUTBOX_PAGE)
            rows: list[Any] = await self.store.read(*page)
            found += [id_ for id_, pairs in rows if keys.row_of(pairs).key == key]
            if len(rows) < OUTBOX_PAGE:
                return found
            start = f"({rows[-1][0].decode()}"

    async def refused(self, limit: int) -> list[RefusedRow]:
        entries = await self.store.read("HGETALL", self.store.keys.refused)
        found = dict(zip(entries[::2], entries[1::2], strict=True))
        ordered = sorted(found, key=lambda id_: keys.place_in_stream(id_.decode()))
        rows = [await self._refused(id_, found[id_]) for id_ in ordered[:limit]]
        return [row for row in rows if row is not None]

    async def _refused(self, id_: bytes, entry: bytes) -> RefusedRow | None:
        found = await self.store.read("XRANGE", self.store.keys.outbox, id_, id_)
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
        entry = await self.store.read("HGET", self.store.keys.refused, id_)
        found = await self._refused(id_.encode(), entry) if entry else None
        if found is None:
            return None
        what = OperatorAction(by, action, found.row.key, note, audit_text_of_row(found.row))
        names = self.store.keys
        script = Script(names.epoch, self.store.epoch)
        script.check("HEXISTS", names.refused, id_, 1)
        script.write("HDEL", names.refused, id_)
        script.write("RPUSH", names.actions(found.row.key), keys.audit_entry(clock.now(), what))
        if action == "drop":
            script.write("XDEL", names.outbox, id_)
        try:
            await self.store.commit(script)
        except ConcurrentChangeError:
            return None  # another has settled it
        return found

    async def expedite(self, key: str, by: str) -> int:
        del key, by  # there are no effects in Redis
        return 0

    async def skip(self, topic: str, partition: int, offset: int, by: str, note: str) -> None:
        """Also while the data are lost: a rebuild may wait for it."""
        place = f"{topic}:{partition}:{offset}"
        audit = keys.audit_entry(clock.now(), OperatorAction(by, SKIP, place, note))
        places = (self.store.keys.skipped, self.store.keys.actions(place))
        await self.store.call(self.store.redis.eval(SKIP_SCRIPT, 2, *places, place, audit))

    async def actions(self, key: str) -> list[tuple[datetime, OperatorAction]]:
        entries = await self.store.read("LRANGE", self.store.keys.actions(key), 0, -1)
        return [keys.action_of(entry) for entry in entries]

    async def _letters(self, key: str) -> list[ParkedEntry]:
        entries = await self.store.read("LRANGE", self.store.keys.parked(key), 0, -1)
        return [(entry, keys.letter_of(key, entry)) for entry in entries]


def _audit(by: str, action: str, letter: DeadLetter, note: str) -> bytes:
    what = OperatorAction(by, action, letter.key, note, audit_text(letter.record))
    return keys.audit_entry(clock.now(), what)
