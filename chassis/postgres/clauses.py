"""What a batch writes to PostgreSQL, as clauses of one statement: states first, then what follows."""

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Final

from chassis import byte_json
from chassis.dead_letters import stored_reason
from chassis.decide import BatchResult, JournalRow
from chassis.message import FIRST_LEASE_S, OperatorAction, OutboxRow
from chassis.postgres import sql
from chassis.postgres.state_tables import SharedTable, StateTable
from chassis.postgres.statement import Clause, arrays
from chassis.service import Journal

OUTBOX: Final = "new_outbox"
EFFECTS: Final = ("id", "key", "kind", "body", "traceparent", "due_at", "tries", "attempt")
LETTERS: Final = ("key", "topic", "partition", "offset", "record_key", "value", "headers", "reason")
ACTIONS: Final = ("by", "action", "key", "note", "detail")


def of_batch(
    own: StateTable, shared: SharedTable | None, journal: Journal | None, result: BatchResult
) -> list[Clause]:
    """All of it; the clause named OUTBOX answers with the ids of the new rows, in their order."""
    clauses = own.saving(result.changed) + own.unchanged(result.unchanged)
    if shared is not None:
        before, changes = result.read.shared, result.shared_changes
        clauses += shared.saving(before, changes, result.absent_shared)
    return [
        *clauses,
        *_inbox(result),
        *_parked_keys(result),
        *_answers(result),
        *_unparked(result),
        *of_outbox(result.outbox),
        *_effects(result),
        *_letters(result),
        *_journal(journal, result),
        *of_actions(result.actions),
    ]


def _inbox(result: BatchResult) -> list[Clause]:
    """Fewer rows than ids: another was faster."""
    clauses = []
    if ids := sorted(result.inbox):
        clauses.append(Clause("new_inbox", sql.ENTER, {"ids": ids}, rows=len(ids)))
    if absent := sorted(result.not_entered):
        clauses.append(Clause("no_inbox", sql.ENTERED, {"ids": absent}, rows=0))
    return clauses


def _parked_keys(result: BatchResult) -> list[Clause]:
    """No message of these keys may have been parked since they were read."""
    keys = sorted(result.keys - result.read.parked_keys)
    return [Clause("parked_keys", sql.PARKED, {"keys": keys}, rows=0)] if keys else []


def _answers(result: BatchResult) -> list[Clause]:
    """Fewer rows than answers: another has used an idempotency key first."""
    clauses = []
    if rows := [(c.scope, c.key, c.fingerprint, response) for c, response in result.answers]:
        values = arrays(("scope", "key", "fingerprint", "response"), rows)
        clauses.append(Clause("new_answers", sql.ANSWER, values, rows=len(rows)))
    if refused := [(claim.scope, claim.key) for claim in result.unanswered]:
        values = arrays(("scopes", "keys"), refused)
        clauses.append(Clause("no_answers", sql.UNANSWERED, values, rows=0))
    return clauses


def _unparked(result: BatchResult) -> list[Clause]:
    clauses = []
    if ids := [int(message.letter_id) for message in result.unparked]:
        clauses.append(Clause("unparked", sql.UNPARK, {"ids": ids}, rows=len(ids)))
    if rows := [(int(m.letter_id), stored_reason(why)) for m, why in result.failed_again]:
        values = arrays(("ids", "reasons"), rows)
        clauses.append(Clause("failed_again", sql.FAILED_AGAIN, values, rows=len(rows)))
    return clauses


def of_outbox(new: Sequence[OutboxRow]) -> list[Clause]:
    """Rows are numbered after the states are written."""
    rows = [(r.topic, r.key, r.value, byte_json.packed(r.headers)) for r in new]
    if not rows:
        return []
    values = arrays(("topic", "key", "value", "headers"), rows)
    return [Clause(OUTBOX, sql.WRITE_OUTBOX, values, answer="array_agg(id)")]


def _effects(result: BatchResult) -> list[Clause]:
    """What is begun and finished in one batch is never written."""
    clauses, finished = [], set(result.finished_effects)
    rows = [
        (e.id, e.key, e.kind, e.body, e.traceparent, e.due_at, e.tries, e.attempt)
        for e in result.effects
        if e.id not in finished
    ]
    if rows:
        values = {**arrays(EFFECTS, rows), "lease": timedelta(seconds=FIRST_LEASE_S)}
        clauses.append(Clause("new_effects", sql.ADD_EFFECTS, values))
    if finished:
        clauses.append(Clause("done_effects", sql.FINISH, {"ids": list(finished)}))
    return clauses


def _letters(result: BatchResult) -> list[Clause]:
    rows = [
        (
            letter.key,
            *(letter.record.topic, letter.record.partition, letter.record.offset),
            *(letter.record.key, letter.record.value, byte_json.packed(letter.record.headers)),
            stored_reason(letter.reason),
        )
        for letter in result.letters
    ]
    return [Clause("new_parked", sql.PARK, arrays(LETTERS, rows))] if rows else []


def _journal(journal: Journal | None, result: BatchResult) -> list[Clause]:
    if not result.journal:
        return []
    assert journal is not None, "its service keeps a journal"
    values = arrays(JournalRow._fields, result.journal)
    return [Clause("new_journal", journal_insert(journal), values)]


@lru_cache
def journal_insert(journal: Journal) -> str:
    return sql.ADD_TO_JOURNAL.format(table=journal.table, columns=", ".join(journal.columns))


def of_actions(actions: Sequence[OperatorAction]) -> list[Clause]:
    rows = [(a.by, a.action, a.key, a.note, a.detail) for a in actions]
    return [Clause("new_actions", sql.NOTE, arrays(ACTIONS, rows))] if rows else []
