"""What operators ask of the store in memory: dead letters, whereabouts, the audit trail."""

from dataclasses import dataclass, replace
from datetime import datetime

from chassis.dead_letters import audit_text, audit_text_of_row
from chassis.message import SKIP, OperatorAction, PendingEffect
from chassis.store import DeadLetter, RefusedRow, Whereabouts
from simulation.database import Transaction
from simulation.memory_store import MemoryStore
from simulation.memory_unit import MemoryUnit
from simulation.process import servers_now


@dataclass(frozen=True, slots=True)
class MemoryInspection:
    store: MemoryStore

    async def parked_keys(self) -> list[str]:
        await self.store.ask("parked_keys")
        return list(dict.fromkeys(letter.key for letter in self._letters()))

    async def dead_letters(self, key: str) -> list[DeadLetter]:
        await self.store.ask("letters")
        return self._letters(key)

    async def discard(self, key: str, by: str, reason: str, id_: str = "") -> DeadLetter | None:
        async with self.store.transaction() as transaction:
            await transaction.statement("letters")
            found = [await self._locked(transaction, letter) for letter in self._letters(key)]
            chosen = next((x for x in found if x is not None and id_ in {"", x.id}), None)
            if chosen is None:
                return None
            await transaction.statement("unpark")
            transaction.delete("parked", chosen.origin)
            action = OperatorAction(by, "discard", key, reason, audit_text(chosen.record))
            await MemoryUnit(transaction).note(action)
        return chosen

    async def whereabouts(self, key: str) -> Whereabouts:
        await self.store.ask("whereabouts")
        database, now = self.store.database, servers_now()
        written = [line.at for line in database.outbox.values() if line.row.key == key]
        state = database.own[key].state if key in database.own else self.store.service.initial
        return Whereabouts(
            type(state).__name__,
            len(written),
            (now - min(written, default=now)).total_seconds(),
            tuple(self._letters(key)),
            tuple(sorted(self._shown_effect(key), key=lambda e: (e.owed_since, e.id))),
        )

    async def refused(self, limit: int) -> list[RefusedRow]:
        await self.store.ask("refused")
        outbox = sorted(self.store.database.outbox.items())
        found = [
            RefusedRow(
                str(id_),
                line.row,
                line.refused,
                line.at,
                sum(other > id_ and each.row.key == line.row.key for other, each in outbox),
            )
            for id_, line in outbox
            if line.refused
        ]
        return found[:limit]

    async def release(self, id_: str, by: str, note: str) -> RefusedRow | None:
        return await self._settled(id_, by, "release", note)

    async def drop(self, id_: str, by: str, reason: str) -> RefusedRow | None:
        return await self._settled(id_, by, "drop", reason)

    async def _settled(self, id_: str, by: str, action: str, note: str) -> RefusedRow | None:
        found = next((x for x in await self.refused(1_000_000) if x.id == id_), None)
        if found is None:
            return None
        async with self.store.transaction() as transaction:
            if action == "drop":
                transaction.delete("outbox", int(id_))
            else:
                line = transaction.get("outbox", int(id_))
                transaction.put("outbox", int(id_), line._replace(refused=""))
            what = OperatorAction(by, action, found.row.key, note, audit_text_of_row(found.row))
            await MemoryUnit(transaction).note(what)
        return found

    async def expedite(self, key: str, by: str) -> int:
        kinds = self.store.service.stored_kinds(self.store.service.effects)
        async with self.store.transaction() as transaction:
            await transaction.statement("expedite")
            count = 0
            for effect in self._shown_effect(key):
                row: PendingEffect | None = await transaction.locked("effects", effect.id)
                if row is not None and row.kind in kinds:
                    transaction.put("effects", row.id, replace(row, due_at=transaction.at))
                    count += 1
            if count:
                action = OperatorAction(by, "expedite", key, "", f"{count} effects")
                await MemoryUnit(transaction).note(action)
        return count

    async def skip(self, topic: str, partition: int, offset: int, by: str, note: str) -> None:
        async with self.store.transaction() as transaction:
            action = OperatorAction(by, SKIP, f"{topic}:{partition}:{offset}", note)
            await MemoryUnit(transaction).note(action)

    async def actions(self, key: str) -> list[tuple[datetime, OperatorAction]]:
        await self.store.ask("actions")
        rows = sorted(self.store.database.actions.items())
        return [(at, action) for _, (at, action) in rows if action.key == key]

    def _letters(self, key: str | None = None) -> list[DeadLetter]:
        """Of a key, which may be "", or all."""
        parked = self.store.database.parked.values()
        wanted = (letter for letter in parked if key is None or key == letter.key)
        return sorted(wanted, key=lambda letter: int(letter.id))

    def _shown_effect(self, key: str) -> list[PendingEffect]:
        return [e for e in self.store.database.effects.values() if e.key == key]

    async def _locked(self, transaction: Transaction, letter: DeadLetter) -> DeadLetter | None:
        """The letter as it is once nobody else holds it; None if it is no more."""
        if transaction.get("parked", letter.origin) is None:
            return None
        found: DeadLetter | None = await transaction.locked("parked", letter.origin)
        return found
