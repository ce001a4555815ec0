"""What a batch writes to PostgreSQL, as parts of one statement: states first, then what follows from them."""

from collections.abc import Sequence
from datetime import timedelta

from chassis import postgres_sql as sql
from chassis import together, wire
from chassis.known import Tried
from chassis.message import HANDED_S, Done, Message, OutboxRow, Parked
from chassis.state_tables import SharedTable, StateTable
from chassis.together import Part, columns
from chassis.work import States, Work, heard, wire_type
from shared_events.decision import Refusal

OUTBOX = "new_outbox"


def of_inbox(messages: Sequence[Message], work: Work) -> list[Part]:
    """An effect of which an outcome was not decided is owed still: it comes again, under the same id.

    Fewer rows than ids: somebody was faster, and what was read is old.
    """
    ids = {
        m.entry
        for m, outcome in zip(messages, work.outcomes, strict=True)
        if m.claim is None and not (m.effect_id and isinstance(outcome, Parked | Refusal))
    }
    return [Part("new_inbox", sql.ENTER, [sorted(ids)], rows=len(ids))] if ids else []


def of_states(own: StateTable, shared: SharedTable | None, states: States) -> list[Part]:
    parts = own.saving(states.changed)
    if shared is not None and states.changed_shared:
        parts.append(shared.saving(states.shared_changes))
    return parts


def if_still_so(
    own: StateTable, shared: SharedTable | None, tried: Tried, keys: Sequence[str]
) -> list[Part]:
    """States that change, with a guard on what was only read: nobody else has written any of it since."""
    parts = own.saving(tried.states.changed) + own.unchanged(tried.left)
    if shared is not None:
        parts += shared.replacing(tried.was, tried.states.shared_changes, tried.absent)
    return [*parts, Part("parked_keys", sql.PARKED, [keys], rows=0)]


def of_outbox(rows: Sequence[OutboxRow], after: Sequence[Part] = ()) -> list[Part]:
    """Rows are numbered after the states are written; the answer is their ids, in their order."""
    if not rows:
        return []
    table = [(r.topic, r.key, r.value, wire.packed(r.headers)) for r in rows]
    text = sql.WRITE_OUTBOX.format(after=together.after(*(part.name for part in after)))
    return [Part(OUTBOX, text, columns(table), answer="array_agg(id)")]


def of_effects(work: Work) -> list[Part]:
    """What is owed and done with in one batch is never written."""
    parts, done = [], set(work.finished_effects)
    rows = [
        (e.id, e.key, e.kind, e.body, e.traceparent, e.due_at, e.tries)
        for e in work.effects
        if e.id not in done
    ]
    if rows:
        lease = timedelta(seconds=HANDED_S)
        parts.append(Part("new_effects", sql.OWE_EFFECTS, [*columns(rows), lease]))
    if done:
        parts.append(Part("done_effects", sql.FINISH, [list(done)]))
    return parts


def of_timeline(messages: Sequence[Message], work: Work) -> list[Part]:
    rows = [
        (m.key, m.at, heard(m), ", ".join(wire_type(e) for e in outcome.events))
        for m, outcome in zip(messages, work.outcomes, strict=True)
        if isinstance(outcome, Done) and outcome.events
    ]
    return [Part("new_timeline", sql.TELL, columns(rows))] if rows else []


def of_answers(messages: Sequence[Message], work: Work) -> list[Part]:
    """Fewer rows than answers: somebody used an idempotency key first."""
    rows = [
        (m.claim.scope, m.claim.key, m.claim.fingerprint, outcome.response)
        for m, outcome in zip(messages, work.outcomes, strict=True)
        if m.claim is not None and isinstance(outcome, Done)
    ]
    return [Part("new_answers", sql.ANSWER, columns(rows), rows=len(rows))] if rows else []
