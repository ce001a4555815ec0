"""One transaction of the store in memory, which waits where PostgreSQL's store starts over.

Who is slower than another to enter a message learns it before it decides; there it decides in vain.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

from chassis.errors import ConcurrentChangeError
from chassis.fresh import Fresh
from chassis.known import Known, Tried
from chassis.message import (
    HANDED_S,
    Change,
    Done,
    KeyReused,
    Message,
    OperatorAction,
    OutboxRow,
    Outcome,
    Parked,
    PendingEffect,
    Record,
    Repeated,
)
from chassis.service import Service
from chassis.state_tables import SharedTable
from chassis.store import DeadLetter
from chassis.work import States, Work, dead_letters_of, heard, wire_type, work_of
from shared_events.decision import Refusal
from simulation.database import Answer, Client, Database, Line, Row, Told, Transaction

Malformed: TypeAlias = Sequence[tuple[Record, str]]


@dataclass(eq=False)
class MemoryDecisions(Client):
    """Each step is a method of its own, so that a simulation can break one on purpose."""

    service: Service
    database: Database
    shared: SharedTable | None = None
    takes: frozenset[str] = frozenset()
    known: Known = field(init=False)
    fresh: Fresh = field(default_factory=Fresh)
    _leading: int | None = None

    def __post_init__(self) -> None:
        self.known = Known(self.service)

    async def _if_still_so(
        self, transaction: Transaction, messages: Sequence[Message], tried: Tried
    ) -> None:
        once = sorted(m.id for m in messages if m.claim is None)
        keys = [m.key for m in messages if m.record]
        parked, entered = await self._enter(transaction, once, keys)
        for key in tried.states.shared_changes:
            await transaction.lock("shared", key)
        own = {key: transaction.get("own", key).version for key in tried.left}
        asked = {key: transaction.get("shared", key) for key in tried.states.asked}
        is_so = own == {key: row.version for key, row in tried.left.items()}
        is_so &= asked == dict.fromkeys(tried.absent) | tried.was
        if parked or len(entered) < len(once) or not is_so:
            raise ConcurrentChangeError("somebody else has changed what was known")

    async def _decide(
        self, transaction: Transaction, messages: Sequence[Message], malformed: Malformed
    ) -> tuple[Work, States]:
        once = sorted(m.id for m in messages if m.claim is None)
        parked_keys, entered = await self._enter(transaction, once, [m.key for m in messages])
        settled = await self._answered(transaction, messages)
        for message in messages:
            if message.claim is None and message.id not in entered:
                settled[id(message)] = Repeated()
            entered.discard(message.id)
        todo = [m for m in messages if id(m) not in settled]
        states = await self.load(transaction, todo)
        self.fresh.doubt()
        work = work_of(self.service, states, todo, parked_keys)
        if self._leading is not None:
            work.hand_over(self.takes)
        work.finished_effects += [m.effect_id for m in messages if m.effect_id and id(m) in settled]
        await self.write(transaction, states, todo, work)
        await self._answer(transaction, todo, work)
        await self._park(
            transaction, [(m.record, m.key, why) for m, why in work.parked if m.record]
        )
        await self._park(transaction, [(record, record.subject, why) for record, why in malformed])
        await self._forget(transaction, todo, work.outcomes)
        decided = iter(work.outcomes)
        work.outcomes = [settled[id(m)] if id(m) in settled else next(decided) for m in messages]
        return work, states

    async def _enter(
        self, transaction: Transaction, ids: Sequence[UUID], keys: Sequence[str]
    ) -> tuple[set[str], set[UUID]]:
        """Parked keys, as they are after any wait for another's insert, and the ids that are new."""
        await transaction.statement("enter")
        entered = {id_ for id_ in ids if await transaction.insert("inbox", id_, transaction.at)}
        parked = {letter.key for letter in self.database.parked.values()}
        return parked.intersection(keys), entered

    async def _answered(
        self, transaction: Transaction, messages: Sequence[Message]
    ) -> dict[int, Outcome]:
        claims = {id(m): m.claim for m in messages if m.claim is not None}
        settled: dict[int, Outcome] = {}
        if claims:
            await transaction.statement("answered")
        for message, claim in claims.items():
            known: Answer | None = transaction.get("answers", (claim.scope, claim.key))
            if known is not None:
                same = known.fingerprint == claim.fingerprint
                settled[message] = Repeated(known.response) if same else KeyReused()
        return settled

    async def load(self, transaction: Transaction, messages: Sequence[Message]) -> States:
        if not messages:
            return States()
        await transaction.statement("load")
        states = States()
        for key in dict.fromkeys(m.key for m in messages):
            row: Row | None = transaction.get("own", key)
            if row is not None:
                states.own[key] = Change(row.state, row.version)
        if self.shared is not None:
            states.asked = states.references(self.service, messages)
            if states.asked:
                wanted = sorted(states.asked)
                states.shared = await self._load_shared(transaction, self.shared, wanted)
        return states

    async def _load_shared(
        self, transaction: Transaction, table: SharedTable, keys: Sequence[str]
    ) -> dict[str, Any]:
        if table.lock:
            await self._lock_shared(transaction, keys)
        else:
            await transaction.statement("load_shared")
        rows = {key: transaction.get("shared", key) for key in keys}
        return {key: row for key, row in rows.items() if row is not None}

    async def _lock_shared(self, transaction: Transaction, keys: Sequence[str]) -> None:
        """As PostgreSQL does: rows that are there, then the names of those that are not, then again."""
        found = await self._lock_rows(transaction, keys)
        if missing := [key for key in keys if key not in found]:
            await transaction.statement("lock_missing")
            for key in missing:
                await transaction.lock("advisory", key)
            await self._lock_rows(transaction, keys)

    async def _lock_rows(self, transaction: Transaction, keys: Sequence[str]) -> list[str]:
        await transaction.statement("lock")
        found = [key for key in keys if transaction.get("shared", key) is not None]
        for key in found:
            await transaction.lock("shared", key)
        return found

    async def write(
        self, transaction: Transaction, states: States, messages: Sequence[Message], work: Work
    ) -> None:
        """States, outbox, effects, timeline and audit of what was decided."""
        if states.changed:
            await self._save_own(transaction, states.changed)
        if self.shared is not None and states.changed_shared:
            await self._save_shared(transaction, self.shared, states.shared_changes)
        work.outbox_ids = await self._publish(transaction, work.outbox)
        await self._owe(transaction, work.effects)
        await self._finish(transaction, work.finished_effects)
        if self.service.keeps_timeline:
            await self._tell(transaction, messages, work)
        for message, outcome in zip(messages, work.outcomes, strict=True):
            if message.operator is not None and isinstance(outcome, Done):
                await self.note(transaction, message.operator)

    async def _save_own(self, transaction: Transaction, changed: dict[str, Change]) -> None:
        await transaction.statement("save")
        ordered = sorted(changed.items(), key=lambda item: (item[1].loaded_version > 0, item[0]))
        for key, change in ordered:
            if not await self._saved(transaction, key, change):
                raise ConcurrentChangeError(f"the row of {key}")

    async def _saved(self, transaction: Transaction, key: str, change: Change) -> bool:
        """Whether nobody was faster."""
        row = Row(change.version, change.state)
        if change.loaded_version == 0:
            return await transaction.insert("own", key, row)
        await transaction.lock("own", key)
        if transaction.get("own", key).version != change.loaded_version:
            return False
        transaction.put("own", key, row)
        return True

    async def _save_shared(
        self, transaction: Transaction, table: SharedTable, rows: dict[str, Any]
    ) -> None:
        await transaction.statement("save_shared")
        for key, row in rows.items():
            await transaction.lock("shared", key)
            old = transaction.get("shared", key)
            if table.revision and old is not None:
                revision, was = getattr(row, table.revision), getattr(old, table.revision)
                if was >= revision:
                    raise ConcurrentChangeError(f"the row of {key}")
            transaction.put("shared", key, row)

    async def _publish(self, transaction: Transaction, rows: Sequence[OutboxRow]) -> list[str]:
        if rows:
            await transaction.statement("outbox")
        ids = [self.database.next_id() for _ in rows]
        for id_, row in zip(ids, rows, strict=True):
            transaction.put("outbox", id_, Line(row, transaction.at))
        return [str(id_) for id_ in ids]

    async def _owe(self, transaction: Transaction, effects: Sequence[PendingEffect]) -> None:
        if effects:
            await transaction.statement("owe")
        for effect in effects:
            due_at = effect.due_at or transaction.at + timedelta(seconds=HANDED_S * effect.tries)
            owed = replace(effect, due_at=due_at, owed_since=transaction.at)
            await transaction.insert("effects", effect.id, owed)

    async def _finish(self, transaction: Transaction, ids: Sequence[str]) -> None:
        if ids:
            await transaction.statement("finish")
        for id_ in ids:
            if transaction.get("effects", id_) is not None:
                await transaction.lock("effects", id_)
                transaction.delete("effects", id_)

    async def note(self, transaction: Transaction, action: OperatorAction) -> None:
        await transaction.statement("note")
        transaction.put("actions", self.database.next_id(), (transaction.at, action))

    async def _tell(
        self, transaction: Transaction, messages: Sequence[Message], work: Work
    ) -> None:
        rows = [
            Told(m.key, m.at, heard(m), ", ".join(map(wire_type, outcome.events)))
            for m, outcome in zip(messages, work.outcomes, strict=True)
            if isinstance(outcome, Done) and outcome.events
        ]
        if rows:
            await transaction.statement("tell")
        for row in rows:
            transaction.put("timeline", self.database.next_id(), row)

    async def _answer(
        self, transaction: Transaction, messages: Sequence[Message], work: Work
    ) -> None:
        rows = [
            (m.claim, outcome.response)
            for m, outcome in zip(messages, work.outcomes, strict=True)
            if m.claim is not None and isinstance(outcome, Done)
        ]
        if rows:
            await transaction.statement("answer")
        for claim, response in rows:
            answer = Answer(claim.fingerprint, response)
            if not await transaction.insert("answers", (claim.scope, claim.key), answer):
                raise ConcurrentChangeError("somebody used the same idempotency key first")

    async def _park(
        self, transaction: Transaction, records: Iterable[tuple[Record, str, str]]
    ) -> None:
        kept: list[tuple[Record, str]] = []
        for record, key, why in records:
            await transaction.statement("park")
            reason, at = why[:2000].replace("\0", "\\x00"), transaction.at
            id_ = str(self.database.next_id())
            letter = DeadLetter(id_, key, record, reason, reason, 1, at, at)
            origin = (record.topic, record.partition, record.offset)
            await transaction.insert("parked", origin, letter)
            kept.append((record, why))
        await self._publish(transaction, dead_letters_of(self.service, kept))

    async def _forget(
        self, transaction: Transaction, messages: Sequence[Message], outcomes: Sequence[Outcome]
    ) -> None:
        """The effect of an outcome that was not decided is owed still: it comes again."""
        failed = [
            m.id
            for m, outcome in zip(messages, outcomes, strict=True)
            if m.effect_id and isinstance(outcome, Parked | Refusal)
        ]
        if failed:
            await transaction.statement("forget")
        for id_ in failed:
            transaction.delete("inbox", id_)
