"""A unit of work on a simulated database: the port alone, as PostgreSQL has it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from chassis.dead_letters import stored_reason
from chassis.decide import BatchResult, Letter, Snapshot, StoredAnswer
from chassis.errors import ConcurrentChangeError
from chassis.message import (
    FIRST_LEASE_S,
    Message,
    OperatorAction,
    OutboxRow,
    PendingEffect,
    VersionedState,
)
from chassis.postgres import SharedTable
from chassis.store import DeadLetter
from simulation.database import Database, OutboxEntry, Row, Transaction


@dataclass(slots=True, eq=False)
class MemoryUnit:
    """Each step is a method of its own, so that a simulation can break one on purpose."""

    transaction: Transaction
    shared: SharedTable | None = None

    @property
    def database(self) -> Database:
        return self.transaction.client.database

    async def read(self, messages: Sequence[Message]) -> Snapshot:
        await self.transaction.statement("load")
        get, keys = self.transaction.get, {m.key for m in messages}
        rows: dict[str, Row] = {key: row for key in keys if (row := get("own", key)) is not None}
        return Snapshot(
            inbox={m.entry for m in messages if get("inbox", m.entry) is not None},
            answers=await self._answers(messages),
            parked_keys={letter.key for letter in self.database.parked.values()} & keys,
            own={key: VersionedState(row.state, row.version) for key, row in rows.items()},
            is_read=bool(rows),
        )

    async def _answers(self, messages: Sequence[Message]) -> dict[tuple[str, str], Any]:
        claims = [(m.claim.scope, m.claim.key) for m in messages if m.claim is not None]
        if claims:
            await self.transaction.statement("answered")
        found = {claim: self.transaction.get("answers", claim) for claim in claims}
        return {claim: answer for claim, answer in found.items() if answer is not None}

    async def read_shared(self, snapshot: Snapshot, keys: frozenset[str]) -> None:
        wanted = sorted(keys)
        if self.shared is not None and self.shared.lock:
            await self._lock_shared(wanted)
        else:
            await self.transaction.statement("load_shared")
        rows = {key: self.transaction.get("shared", key) for key in wanted}
        snapshot.shared = {key: row for key, row in rows.items() if row is not None}
        snapshot.shared_keys = keys
        snapshot.is_read |= bool(snapshot.shared)

    async def _lock_shared(self, keys: Sequence[str]) -> None:
        """As PostgreSQL does: rows that are there, then the names of those that are not, then again."""
        found = await self._lock_rows(keys)
        if missing := [key for key in keys if key not in found]:
            await self.transaction.statement("lock_missing")
            for key in missing:
                await self.transaction.lock("advisory", key)
            await self._lock_rows(keys)

    async def _lock_rows(self, keys: Sequence[str]) -> list[str]:
        await self.transaction.statement("lock")
        found = [key for key in keys if self.transaction.get("shared", key) is not None]
        for key in found:
            await self.transaction.lock("shared", key)
        return found

    async def commit(self, result: BatchResult) -> None:
        await self.write(result)
        await self.transaction.commit()

    async def write(self, result: BatchResult) -> None:
        """The clauses of PostgreSQL's one statement, in their order."""
        await self._save_own(result)
        if self.shared is not None:
            await self._save_shared(result)
        await self._enter(result)
        await self._require_not_parked(result)
        await self._answer(result)
        await self._unpark(result)
        result.outbox_ids = await self._publish(result.outbox)
        await self._add_effects(result)
        await self._park(result.letters)
        await self._add_to_journal(result)
        for action in result.actions:
            await self.note(action)

    async def _save_own(self, result: BatchResult) -> None:
        if result.changed:
            await self.transaction.statement("save")
        changed = sorted(
            result.changed.items(), key=lambda each: (each[1].loaded_version > 0, each[0])
        )
        for key, change in changed:
            if not await self._saved(key, change):
                raise ConcurrentChangeError(f"the row of {key}")
        await self._require_unchanged(result)

    async def _require_unchanged(self, result: BatchResult) -> None:
        for key, version in sorted(result.unchanged.items()):
            if version:
                await self.transaction.lock("own", key)
            row: Row | None = self.transaction.get("own", key)
            if version != (row.version if row else 0):
                raise ConcurrentChangeError(f"the row of {key}")

    async def _saved(self, key: str, change: VersionedState) -> bool:
        """Whether nobody was faster."""
        row = Row(change.version, change.state)
        if change.loaded_version == 0:
            return await self.transaction.insert("own", key, row)
        if (await self.transaction.locked("own", key)).version != change.loaded_version:
            return False
        self.transaction.put("own", key, row)
        return True

    async def _save_shared(self, result: BatchResult) -> None:
        if result.changed_shared:
            await self.transaction.statement("save_shared")
        for key, row in result.shared_changes.items():
            await self.transaction.lock("shared", key)
            self._require_same(result, key)
            self.transaction.put("shared", key, row)
        for key in result.read.shared_keys - result.changed_shared:
            self._require_same(result, key)

    def _require_same(self, result: BatchResult, key: str) -> None:
        if self.transaction.get("shared", key) != result.read.shared.get(key):
            raise ConcurrentChangeError(f"the row of {key}")

    async def _enter(self, result: BatchResult) -> None:
        await self.transaction.statement("enter")
        for id_ in sorted(result.inbox):
            if not await self.transaction.insert("inbox", id_, self.transaction.at):
                raise ConcurrentChangeError("another has decided on a message")
        if any(self.transaction.get("inbox", id_) is not None for id_ in result.not_entered):
            raise ConcurrentChangeError("another has decided on a message")

    async def _require_not_parked(self, result: BatchResult) -> None:
        parked = {letter.key for letter in self.database.parked.values()}
        if parked & (result.keys - result.read.parked_keys):
            raise ConcurrentChangeError("another has parked a message of an order")

    async def _answer(self, result: BatchResult) -> None:
        if result.answers:
            await self.transaction.statement("answer")
        for claim, response in result.answers:
            answer = StoredAnswer(claim.fingerprint, response)
            if not await self.transaction.insert("answers", (claim.scope, claim.key), answer):
                raise ConcurrentChangeError("somebody used the same idempotency key first")
        for claim in result.unanswered:
            if self.transaction.get("answers", (claim.scope, claim.key)) is not None:
                raise ConcurrentChangeError("somebody used the same idempotency key first")

    async def _unpark(self, result: BatchResult) -> None:
        if result.unparked or result.failed_again:
            await self.transaction.statement("unpark")
        for message in result.unparked:
            letter = await self._locked(message.letter_id)
            self.transaction.delete("parked", letter.origin)
        for message, reason in result.failed_again:
            letter = await self._locked(message.letter_id)
            tried = replace(
                letter,
                attempts=letter.attempts + 1,
                last_reason=stored_reason(reason),
                last_tried_at=self.transaction.at,
            )
            self.transaction.put("parked", letter.origin, tried)

    async def _locked(self, id_: str) -> DeadLetter:
        letters = (x for x in self.database.parked.values() if x.id == id_)
        if (letter := next(letters, None)) is not None:
            found: DeadLetter | None = await self.transaction.locked("parked", letter.origin)
            if found is not None:
                return found
        raise ConcurrentChangeError("the dead letter is no more")

    async def _publish(self, rows: Sequence[OutboxRow]) -> list[str]:
        if rows:
            await self.transaction.statement("outbox")
        ids = [self.database.next_id() for _ in rows]
        for id_, row in zip(ids, rows, strict=True):
            self.transaction.put("outbox", id_, OutboxEntry(row, self.transaction.at))
        return [str(id_) for id_ in ids]

    async def _add_effects(self, result: BatchResult) -> None:
        finished = set(result.finished_effects)
        await self._add_pending([effect for effect in result.effects if effect.id not in finished])
        if finished:
            await self.transaction.statement("finish")
        for id_ in sorted(finished):
            if self.transaction.get("effects", id_) is not None:
                await self.transaction.lock("effects", id_)
                self.transaction.delete("effects", id_)

    async def _add_pending(self, effects: Sequence[PendingEffect]) -> None:
        if effects:
            await self.transaction.statement("effects")
        at = self.transaction.at
        for effect in effects:
            due_at = effect.due_at or at + timedelta(seconds=FIRST_LEASE_S * effect.tries)
            kept = replace(effect, due_at=due_at, owed_since=at)
            await self.transaction.insert("effects", effect.id, kept)

    async def _park(self, letters: Sequence[Letter]) -> None:
        at = self.transaction.at
        for record, key, why in letters:
            await self.transaction.statement("park")
            id_, reason = str(self.database.next_id()), stored_reason(why)
            letter = DeadLetter(id_, key, record, reason, reason, 1, at, at)
            await self.transaction.insert("parked", letter.origin, letter)

    async def _add_to_journal(self, result: BatchResult) -> None:
        if result.journal:
            await self.transaction.statement("journal")
        for row in result.journal:
            self.transaction.put("journal", self.database.next_id(), row)

    async def note(self, action: OperatorAction) -> None:
        await self.transaction.statement("note")
        at = self.transaction.at
        self.transaction.put("actions", self.database.next_id(), (at, action))
