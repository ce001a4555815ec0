"""A unit of work in PostgreSQL: one statement that reads, and one that writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chassis.decide import BatchResult, Snapshot, StoredAnswer
from chassis.message import Message
from chassis.postgres import clauses, sql, statement
from chassis.postgres.state_tables import SharedTable, StateTable
from chassis.postgres.types import Connection
from chassis.service import Journal


@dataclass(slots=True)
class PostgresUnit:
    """A transaction is open only while rows that sagas share are locked: else there is one that writes."""

    connection: Connection
    own: StateTable
    shared: SharedTable | None
    journal: Journal | None = None
    _transaction: Any = None

    async def read(self, messages: Sequence[Message]) -> Snapshot:
        entries = [m.entry for m in messages if m.claim is None]
        keys = [m.key for m in messages]
        row = await self.connection.fetchrow(self.own.reading, entries, keys)
        own = self.own.read(zip(*(column or () for column in tuple(row)[2:]), strict=True))
        return Snapshot(
            inbox=set(row[0] or ()),
            answers=await self._answers(messages),
            parked_keys=set(row[1] or ()),
            own=own,
            is_read=bool(own),
        )

    async def _answers(self, messages: Sequence[Message]) -> dict[tuple[str, str], StoredAnswer]:
        wanted = [(m.claim.scope, m.claim.key) for m in messages if m.claim is not None]
        if not wanted:
            return {}
        scopes, keys = map(list, zip(*wanted, strict=True))
        rows = await self.connection.fetch(sql.ANSWERED, scopes, keys)
        return {(scope, key): StoredAnswer(*answer) for scope, key, *answer in rows}

    async def read_shared(self, snapshot: Snapshot, keys: frozenset[str]) -> None:
        assert self.shared is not None, "its service has no shared rows"
        if self.shared.lock and self._transaction is None:
            self._transaction = self.connection.transaction()
            await self._transaction.start()
        snapshot.shared = await self.shared.load(self.connection, keys)
        snapshot.shared_keys = keys
        snapshot.is_read |= bool(snapshot.shared)

    async def commit(self, result: BatchResult) -> None:
        batch = clauses.of_batch(self.own, self.shared, self.journal, result)
        answers = await statement.run(self.connection, batch)
        result.outbox_ids = [str(id_) for id_ in answers.get(clauses.OUTBOX, ())]
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            await transaction.commit()

    async def end(self) -> None:
        """Roll back what was not committed."""
        if self._transaction is not None and not self.connection.is_closed():
            await self._transaction.rollback()
