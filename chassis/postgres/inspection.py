"""What operators ask of a PostgreSQL store: dead letters, whereabouts, the audit trail."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from chassis import byte_json
from chassis.dead_letters import audit_text, audit_text_of_row
from chassis.message import SKIP, OperatorAction, OutboxRow, PendingEffect, Record
from chassis.postgres import sql
from chassis.postgres.store import PostgresStore
from chassis.postgres.types import Connection
from chassis.store import DeadLetter, RefusedRow, Whereabouts

ROW_ID_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class PostgresInspection:
    store: PostgresStore

    async def parked_keys(self) -> list[str]:
        async with self.store.reading() as connection:
            rows = await connection.fetch(sql.PARKED_KEYS)
        return [row[0] for row in rows]

    async def dead_letters(self, key: str) -> list[DeadLetter]:
        async with self.store.reading() as connection:
            return await _letters(connection, key)

    async def discard(self, key: str, by: str, reason: str, id_: str = "") -> DeadLetter | None:
        async with self.store.translated(), self.store.transaction() as connection:
            letters = await _letters(connection, key, " FOR UPDATE")
            chosen = next((x for x in letters if id_ in {"", x.id}), None)
            if chosen is None:
                return None
            await connection.execute(sql.DISCARD, int(chosen.id))
            action = OperatorAction(by, "discard", key, reason, audit_text(chosen.record))
            await self.store.note(connection, action)
        return chosen

    async def whereabouts(self, key: str) -> Whereabouts:
        async with self.store.reading() as connection:
            rows, oldest_s, refused = await connection.fetchrow(sql.OUTBOX_OF, key)
            letters = await _letters(connection, key)
            outstanding_effects = [
                PendingEffect(*row) for row in await connection.fetch(sql.EFFECTS_OF, key)
            ]
            states = await self.store.own.load(connection, [key])
        initial = self.store.service.initial
        state = states[key].state if key in states else initial
        name = type(state).__name__
        return Whereabouts(
            name, rows, oldest_s, tuple(letters), tuple(outstanding_effects), refused
        )

    async def refused(self, limit: int) -> list[RefusedRow]:
        async with self.store.reading() as connection:
            return await _refused(connection, None, limit)

    async def release(self, id_: str, by: str, note: str) -> RefusedRow | None:
        return await self._settled(sql.RELEASE, id_, by, "release", note)

    async def drop(self, id_: str, by: str, reason: str) -> RefusedRow | None:
        return await self._settled(sql.DROP, id_, by, "drop", reason)

    async def _settled(
        self, query: str, id_: str, by: str, action: str, note: str
    ) -> RefusedRow | None:
        if not id_.isdecimal() or int(id_) > ROW_ID_MAX:
            return None
        async with self.store.translated(), self.store.transaction() as connection:
            found = await _refused(connection, int(id_), 1)
            done = await connection.execute(query, int(id_)) if found else ""
            if not done.endswith(" 1"):
                return None
            row = found[0].row
            await self.store.note(
                connection, OperatorAction(by, action, row.key, note, audit_text_of_row(row))
            )
        return found[0]

    async def expedite(self, key: str, by: str) -> int:
        service = self.store.service
        async with self.store.translated(), self.store.transaction() as connection:
            kinds = service.stored_kinds(service.effects)
            tag: str = await connection.execute(sql.EXPEDITE, key, kinds)
            count = int(tag.rsplit(" ", 1)[-1])
            if count:
                action = OperatorAction(by, "expedite", key, "", f"{count} effects")
                await self.store.note(connection, action)
        return count

    async def skip(self, topic: str, partition: int, offset: int, by: str, note: str) -> None:
        async with self.store.translated(), self.store.transaction() as connection:
            action = OperatorAction(by, SKIP, f"{topic}:{partition}:{offset}", note)
            await self.store.note(connection, action)

    async def actions(self, key: str) -> list[tuple[datetime, OperatorAction]]:
        async with self.store.reading() as connection:
            rows = await connection.fetch(sql.ACTIONS, key)
        return [(row[0], OperatorAction(*tuple(row)[1:])) for row in rows]


async def _refused(connection: Connection, id_: int | None, limit: int) -> list[RefusedRow]:
    rows = await connection.fetch(sql.REFUSED, id_, limit)
    return [
        RefusedRow(
            str(id_),
            OutboxRow(topic, key, value, byte_json.unpacked(headers)),
            why,
            refused_at,
            later,
        )
        for id_, topic, key, value, headers, why, refused_at, later in rows
    ]


async def _letters(connection: Connection, key: str, how: str = "") -> list[DeadLetter]:
    rows = await connection.fetch(sql.LETTERS + how, key)
    return [_letter(*row) for row in rows]


def _letter(id_: int, key: str, *row: Any) -> DeadLetter:
    topic, partition, offset, record_key, value, headers, first, last, *tries = row
    record = Record(topic, partition, offset, record_key, value, tuple(byte_json.unpacked(headers)))
    return DeadLetter(str(id_), key, record, first, last or first, *tries)
