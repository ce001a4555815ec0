"""A unit of work in Redis: round trips that read, and one script that compares and writes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chassis import clock
from chassis.decide import BatchResult, Letter, Snapshot
from chassis.errors import ConcurrentChangeError
from chassis.message import Message
from chassis.redis import keys
from chassis.redis.guarded import Guarded
from chassis.redis.script import NOTHING, Script
from chassis.redis.tables import STATE_FIELDS, Layout
from chassis.store import DeadLetter


@dataclass(slots=True)
class RedisUnit:
    """In the epoch in which it was begun."""

    of: Guarded
    layout: Layout
    epoch: str

    async def read(self, messages: Sequence[Message]) -> Snapshot:
        by_key: dict[str, list[Message]] = {}
        for message in messages:
            by_key.setdefault(message.key, []).append(message)
        pipe = self.of.redis.pipeline(transaction=False)
        for key, some in by_key.items():
            marks = (f"m:{message.id}" for message in some)
            pipe.hmget(self.layout.own_key(key), *STATE_FIELDS, *marks)
            pipe.exists(self.layout.keys.parked(key))
        replies = iter(await self.of.call(pipe.execute(), "PIPELINE HMGET EXISTS"))
        snapshot = Snapshot()
        for key, some in by_key.items():
            (version, status, detail, *marks), is_parked = next(replies), next(replies)
            if version:
                snapshot.own[key] = self.layout.own.row_of(version, status, detail)
            if is_parked:
                snapshot.parked_keys.add(key)
            found = zip(some, marks, strict=True)
            snapshot.inbox |= {message.entry for message, mark in found if mark}
        snapshot.is_read = bool(snapshot.own)
        return snapshot

    async def read_shared(self, snapshot: Snapshot, wanted: frozenset[str]) -> None:
        table, names = self.layout.shared, sorted(wanted)
        assert table is not None, "its service has no shared rows"
        pipe = self.of.redis.pipeline(transaction=False)
        for name in names:
            pipe.hmget(self.layout.shared_key(name), *table.fields)
        replies = await self.of.call(pipe.execute(), "PIPELINE HMGET")
        rows = {name: table.row_of(reply) for name, reply in zip(names, replies, strict=True)}
        snapshot.shared = {name: row for name, row in rows.items() if row is not None}
        snapshot.shared_keys = wanted
        snapshot.is_read |= bool(snapshot.shared)

    async def commit(self, result: BatchResult) -> None:
        script = Script(self.layout.keys.epoch, self.epoch)
        self._save_own(script, result)
        self._save_shared(script, result)
        self._enter(script, result)
        for message in result.unparked:
            await self._unpark(script, message)
        for message, reason in result.failed_again:
            await self._keep_again(script, message, reason)
        self._park(script, result.letters)
        self._note(script, result)
        for row in result.outbox:
            topic, key, value, headers = keys.row_values(row)
            fields = ("*", "t", topic, "k", key, "v", value, "h", headers)
            script.write("XADD", self.layout.keys.outbox, *fields)
        if not script.is_empty:
            result.outbox_ids = await self.of.commit(script)

    def _save_own(self, script: Script, result: BatchResult) -> None:
        for key, row in result.own.items():
            place = self.layout.own_key(key)
            script.check("HGET", place, "version", row.loaded_version or NOTHING)
        for key, row in result.changed.items():
            values = zip(STATE_FIELDS, self.layout.own.values(row), strict=True)
            script.write("HSET", self.layout.own_key(key), *(v for pair in values for v in pair))

    def _save_shared(self, script: Script, result: BatchResult) -> None:
        table, read = self.layout.shared, result.read
        if table is None:
            return
        before = {key: table.values(row) for key, row in read.shared.items()}
        for key in sorted(read.shared_keys):
            values = before.setdefault(key, {})
            for name in table.compared:
                script.check("HGET", self.layout.shared_key(key), name, values.get(name, NOTHING))
        for key, row in result.shared_changes.items():
            place, after = self.layout.shared_key(key), table.values(row)
            for name, step in table.steps(read.shared.get(key), row).items():
                script.write("HINCRBY", place, name, step)
            for name in table.compared:
                if after[name] != before[key].get(name, NOTHING):
                    script.write("HSET", place, name, after[name])

    def _enter(self, script: Script, result: BatchResult) -> None:
        for message in result.inbox.values():
            if message.record is None:  # a command's repeat is answered by the state
                continue
            place = self.layout.own_key(message.key)
            script.check("HEXISTS", place, f"m:{message.id}", 0)
            script.write("HSET", place, f"m:{message.id}", 1)
        for key in sorted(result.keys - result.read.parked_keys):
            script.check("EXISTS", self.layout.keys.parked(key), "", 0)

    async def _unpark(self, script: Script, message: Message) -> None:
        place, (_, *others) = await self._first_of_list(script, message)
        script.check("LLEN", place, "", 1 + len(others))
        script.write("LPOP", place)
        if not others:
            script.write("ZREM", self.layout.keys.parked_keys, place)

    async def _keep_again(self, script: Script, message: Message, reason: str) -> None:
        place, (entry, *_) = await self._first_of_list(script, message)
        script.write("LSET", place, 0, _tried_again(entry, reason))

    async def _first_of_list(self, script: Script, message: Message) -> tuple[str, list[bytes]]:
        """Letters of a key are decided on in order, each in a unit of its own: it has to be the first."""
        place = self.layout.keys.parked(message.key)
        entries: list[bytes] = await self.of.read("LRANGE", place, 0, -1)
        if not entries or keys.letter_of("", entries[0]).id != message.letter_id:
            raise ConcurrentChangeError("the dead letter is no more the first of its key")
        script.check("LINDEX", place, 0, entries[0])
        return place, entries

    def _park(self, script: Script, letters: Sequence[Letter]) -> None:
        now = clock.now()
        for record, key, reason in letters:
            place = self.layout.keys.parked(key)
            letter = DeadLetter(keys.letter_id(record), key, record, reason, reason, 1, now, now)
            script.write("RPUSH", place, keys.parked_entry(letter))
            microseconds = round(now.timestamp() * 1_000_000)
            script.write("ZADD", self.layout.keys.parked_keys, "NX", microseconds, place)

    def _note(self, script: Script, result: BatchResult) -> None:
        now = clock.now()
        for action in result.actions:
            script.write(
                "RPUSH", self.layout.keys.actions(action.key), keys.audit_entry(now, action)
            )


def _tried_again(entry: bytes, reason: str) -> bytes:
    letter = keys.letter_of("", entry)
    return keys.parked_entry(
        replace(letter, last_reason=reason, attempts=letter.attempts + 1, last_tried_at=clock.now())
    )
