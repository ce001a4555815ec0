"""What a batch of messages leads to, decided in order and without IO, given what was read for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from opentelemetry.trace import Span
from pydantic import TypeAdapter

from chassis import spans, tracing
from chassis.decision import Later, Refusal
from chassis.events import Catalog, Envelope, dead_letters_of, encode, event_id
from chassis.message import (
    Claim,
    Decided,
    Duplicate,
    IdempotencyConflict,
    Message,
    OperatorAction,
    OutboxRow,
    Outcome,
    Parked,
    PendingEffect,
    Record,
    Unreadable,
    VersionedState,
)
from chassis.service import Service

log = structlog.get_logger()
EVENT_MAX_BYTES: Final = 512 * 1024
"""Half of what a broker takes by default: what it refuses would wait in the outbox for ever."""
LETTER_MAX_BYTES: Final = 3 * 512 * 1024
"""Of a dead letter's value and headers as they are copied; the topic takes half a MiB more."""
WAITS: Final = Parked("waits behind a parked message of its key", "waits")
_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def adapter_of(kind: type[Any]) -> TypeAdapter[Any]:
    """The reader and writer of a domain value, made once."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


class StoredAnswer(NamedTuple):
    """What an idempotency key keeps: the fingerprint of its request, and the response."""

    fingerprint: bytes
    response: bytes


class JournalRow(NamedTuple):
    """One decision: on which saga, when, what led to it, and the wire types that it published."""

    key: str
    at: datetime
    cause: str
    published: str


class Letter(NamedTuple):
    """A dead letter to keep: the record as it came, the key under which it waits, and why."""

    record: Record
    key: str
    reason: str


@dataclass(slots=True)
class Snapshot:
    """What a unit of work has read for a batch.

    `inbox` are the entries that are there, `answers` those of used idempotency keys by (scope, key),
    `own` and `shared` the rows that exist. `shared_keys` are all shared rows that were looked for.
    `is_read` says that rows were read from the database, which another process may have written.
    """

    inbox: set[UUID] = field(default_factory=set)
    answers: dict[tuple[str, str], StoredAnswer] = field(default_factory=dict)
    parked_keys: set[str] = field(default_factory=set)
    own: dict[str, VersionedState] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    shared_keys: frozenset[str] = frozenset()
    is_read: bool = False

    def wanted_shared(self, service: Service, messages: Iterable[Message]) -> frozenset[str]:
        """The shared rows that the messages may need, given the own states that they meet."""
        absent = VersionedState(service.initial, 0)
        return frozenset().union(
            *(service.shared_keys(self.own.get(m.key, absent).state, m.body) for m in messages)
        )

    def settled(self, message: Message) -> Outcome | None:
        """The outcome of a message that was decided before; None for any other."""
        claim = message.claim
        if message.letter_id:
            return None  # it is decided on once more
        if claim is None:
            return Duplicate() if message.entry in self.inbox else None
        answer = self.answers.get((claim.scope, claim.key))
        if answer is None:
            return None
        is_same = answer.fingerprint == claim.fingerprint
        return Duplicate(answer.response) if is_same else IdempotencyConflict()


@dataclass(slots=True)
class BatchResult:
    """All that one transaction writes, and what it was decided on: `read` must still be so.

    `inbox` are the messages to remember, by entry; `not_entered` those that come again, and were not
    decided before either. Of `keys` no message may have been parked; the idempotency keys of
    `unanswered` were refused, and may have no answer. `own` are the states of the sagas that were decided
    on, `shared` the shared rows, after the batch. `unparked` and `failed_again` are messages of dead
    letters, decided on once more; the latter with the new reason. The store sets `outbox_ids`, in the
    order of `outbox`. `spans` are of what was done, to be ended once it is written: what was not done is no
    part of a trace; `contexts` is what each message that was decided on is traced below.
    """

    read: Snapshot
    own: dict[str, VersionedState] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    changed_shared: set[str] = field(default_factory=set)
    inbox: dict[UUID, Message] = field(default_factory=dict)
    not_entered: set[UUID] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    outbox: list[OutboxRow] = field(default_factory=list)
    outbox_ids: Sequence[str] = ()
    effects: list[PendingEffect] = field(default_factory=list)
    finished_effects: list[str] = field(default_factory=list)
    answers: list[tuple[Claim, bytes]] = field(default_factory=list)
    unanswered: list[Claim] = field(default_factory=list)
    journal: list[JournalRow] = field(default_factory=list)
    actions: list[OperatorAction] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    unparked: list[Message] = field(default_factory=list)
    failed_again: list[tuple[Message, str]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def changed(self) -> dict[str, VersionedState]:
        return {key: row for key, row in self.own.items() if row.version != row.loaded_version}

    @property
    def unchanged(self) -> dict[str, int]:
        """Versions of the own rows that were decided on and stay as they are; 0 for one that is absent."""
        own = self.own.items()
        return {key: row.version for key, row in own if row.version == row.loaded_version}

    @property
    def shared_changes(self) -> dict[str, Any]:
        return {key: self.shared[key] for key in sorted(self.changed_shared)}

    @property
    def absent_shared(self) -> frozenset[str]:
        """Shared rows that were looked for, and are not there."""
        return self.read.shared_keys - self.read.shared.keys()

    def lease(self, kinds: frozenset[str]) -> None:
        """Keep effects of these kinds with a first lease: the process that decided runs them itself."""
        for effect in self.effects:
            if effect.kind in kinds and effect.due_at is None:
                effect.tries = 1

    def park(self, service: Service, message: Message, reason: str, record: Record | None) -> None:
        """Keep a message that can't be decided, by its record; what has none is only answered.

        A record other than the message's own waits under its own key.
        """
        if message.letter_id:
            self.failed_again.append((message, reason))
        elif record is not None:
            key = message.key if record is message.record else record.subject
            self.letters.append(Letter(record, key, reason))
            self.outbox.append(_dead_letter(service, record, reason))
            self.inbox[message.entry] = message


def decide_batch(service: Service, read: Snapshot, messages: Sequence[Message]) -> BatchResult:
    """Decide on every message. One that fails is parked with the later ones of its key."""
    batch = BatchResult(read, shared=dict(read.shared))
    parked_keys, entered = set(read.parked_keys), set[UUID]()
    for message in messages:
        outcome = read.settled(message)
        if outcome is None and message.claim is None and message.entry in entered:
            outcome = Duplicate()
        if outcome is not None:
            batch.finished_effects += [message.effect_id] if message.effect_id else []
        else:
            outcome = _decided(service, batch, message, parked_keys)
            if message.claim is None:
                entered.add(message.entry)
        batch.outcomes.append(outcome)
    return batch


def _decided(
    service: Service, batch: BatchResult, message: Message, parked_keys: set[str]
) -> Outcome:
    """The outcome of a message that was not decided before, with all that it leads to in the batch."""
    is_record = message.record is not None and not message.letter_id
    context, process = message.traceparent, None
    if message.record is not None and tracing.may_record(context):
        process = spans.process(service.name, message, message.record)
        context = spans.context_of(process, context)
        batch.spans.append(process)
    batch.contexts.append(context)
    if isinstance(message.body, Unreadable):
        outcome: Outcome = Parked(message.body.reason, "unreadable")
    elif is_record and message.key in parked_keys:
        outcome = WAITS
    else:
        outcome = _by_the_rules(service, batch, message, context)
    if process is not None and isinstance(outcome, Parked):
        spans.fail(process, outcome.error_type)
    if is_record:
        batch.keys.add(message.key)
    if isinstance(outcome, Parked):
        batch.park(service, message, outcome.reason, message.record)
        if is_record:
            parked_keys.add(message.key)
    elif message.letter_id:
        batch.unparked.append(message)
    if isinstance(outcome, Decided):
        _note(service, batch, message, outcome)
    _remember(batch, message, outcome)
    return outcome


def _remember(batch: BatchResult, message: Message, outcome: Outcome) -> None:
    """What was decided is no more decided on; an effect is run again until its outcome is."""
    if message.letter_id:
        return
    if message.claim is not None:
        if not isinstance(outcome, Decided):
            batch.unanswered.append(message.claim)
    elif isinstance(outcome, Parked | Refusal) and message.record is None and message.effect_id:
        batch.not_entered.add(message.entry)
    else:
        batch.inbox[message.entry] = message


def _note(service: Service, batch: BatchResult, message: Message, outcome: Decided) -> None:
    """What is kept beside a decision: answer, journal, audit trail."""
    if message.claim is not None:
        batch.answers.append((message.claim, outcome.response))
    if service.journal is not None and outcome.events:
        published = ", ".join(map(service.catalog.wire_type, outcome.events))
        cause = cause_of(service.catalog, message)
        batch.journal.append(JournalRow(message.key, message.at, cause, published))
    if message.operator is not None:
        batch.actions.append(message.operator)


def _by_the_rules(service: Service, batch: BatchResult, message: Message, context: str) -> Outcome:
    """Nothing of the batch changes before all of this message's part in it is known."""
    row = batch.own.get(message.key)
    if row is None:
        row = batch.read.own.get(message.key) or VersionedState(service.initial, 0)
        batch.own[message.key] = row
    try:
        shared = service.shared_rows(row.state, message.body, batch.shared)
        state = service.with_shared(row.state, shared)
        decision = service.decide(state, message.body, message.at)
        if isinstance(decision, Refusal):
            return decision
        if decision.impossible:
            return Parked(decision.impossible)
        for event in decision.events:
            state = service.evolve(state, event)
        rows, created = outbox_rows_of(service, message, decision.events, row.version, context)
        effects = [effect_of(service, message.key, each, context) for each in decision.effects]
        finished = [service.effect_id(message.key, kind, 1) for kind in decision.dropped]
        own, shared_after = service.split(state)
        response = message.respond(decision.events, state) if message.respond else b""
    except Exception as error:  # a bug in the rules must hold up its own key only
        log.exception(
            "decide_failed",
            saga_id=message.key,
            message_id=str(message.id),
            **tracing.log_fields(context),
        )
        name = spans.error_type_of(error)
        return Parked(f"{name}: {error}", name)
    if own is not row.state:
        row.state, row.version = own, row.version + len(decision.events)
    for ref, value in shared_after.items():
        if value is not batch.shared.get(ref):
            batch.shared[ref] = value
            batch.changed_shared.add(ref)
    batch.outbox.extend(rows)
    batch.spans.extend(created)
    batch.effects.extend(effects)
    if message.effect_id:
        batch.finished_effects.append(message.effect_id)
    batch.finished_effects += finished
    return Decided(decision.events, state, response)


def outbox_rows_of(
    service: Service, message: Message, events: tuple[Any, ...], version: int, context: str
) -> tuple[list[OutboxRow], list[Span]]:
    """Each event as a row, and the spans of those that are recorded."""
    rows, created = list[OutboxRow](), list[Span]()
    is_traced = tracing.may_record(context)
    traceparent, _, tracestate = context.partition(" ")
    for number, event in enumerate((*events, *message.companions), version + 1):
        entry = service.catalog.entry_of(event)
        subject = entry.subject_of(event)
        attempt: int = getattr(event, "attempt", 1)
        sequence = number if entry.is_of_a_saga else attempt
        envelope = Envelope(
            id=event_id(subject, entry.identity, attempt),
            type=entry.wire_type,
            source=f"/{service.name}",
            subject=subject,
            time=message.at,
            sequence=0 if entry.topic in service.catalog.compacted else sequence,
            saga_id=subject,
            causation_id=str(message.id),
            causation_type=cause_of(service.catalog, message),
            traceparent=traceparent,
            tracestate=tracestate,
            event=event,
        )
        topic = service.topic_of(type(event))
        if is_traced:
            created.append(span := spans.create(topic, envelope, context))
            own = spans.context_of(span, context)
            envelope.traceparent, _, envelope.tracestate = own.partition(" ")
        value, headers = encode(service.catalog, envelope)
        if len(value) > EVENT_MAX_BYTES:
            raise ValueError(f"{entry.wire_type} is larger than {EVENT_MAX_BYTES} bytes")
        rows.append(OutboxRow(topic, subject, value, headers))
    return rows, created


def effect_of(service: Service, key: str, effect: Any, traceparent: str) -> PendingEffect:
    """An effect or timer as `decide` names it, as a row to keep. Raises ValueError if it is not declared."""
    effect, due_at = (effect.what, effect.at) if isinstance(effect, Later) else (effect, None)
    attempt: int = getattr(effect, "attempt", 1)
    return PendingEffect(
        id=service.effect_id(key, type(effect), attempt),
        key=key,
        kind=service.kind_of(type(effect)),
        body=adapter_of(type(effect)).dump_json(effect),
        traceparent=traceparent,
        due_at=due_at,
        attempt=attempt,
    )


def published_by(catalog: Catalog, outcome: Outcome) -> tuple[str, ...]:
    """The wire types of what a decision published."""
    events = outcome.events if isinstance(outcome, Decided) else ()
    return tuple(map(catalog.wire_type, events))


def cause_of(catalog: Catalog, message: Message) -> str:
    """What led to it: an event's wire type, or a command's name."""
    kind = type(message.body)
    entry = catalog.by_event.get(kind)
    return kind.__name__ if entry is None else entry.wire_type


def _dead_letter(service: Service, record: Record, reason: str) -> OutboxRow:
    """The copy for the dead-letter topic: the original bytes, and where and why in headers.

    What the topic would not take is cut off, first of the value and then of the headers; `dlq_truncated`
    says how many bytes of the value there were. The table of parked messages holds all of it.
    """
    where: list[tuple[str, bytes | None]] = [
        ("dlq_topic", record.topic.encode()),
        ("dlq_partition", str(record.partition).encode()),
        ("dlq_offset", str(record.offset).encode()),
        ("dlq_error", reason.encode("utf-8", "backslashreplace")[:1000]),
    ]
    topic, headers, left = dead_letters_of(service.name), [], LETTER_MAX_BYTES
    for name, raw in record.headers:
        text = name.encode("utf-8", "backslashreplace")
        left -= len(text) + len(raw or b"")
        if left >= 0:
            headers.append((text.decode(), raw))
    value = record.value
    if left < 0 or (value is not None and len(value) > left):
        where.append(("dlq_truncated", str(len(value or b"")).encode()))
        value = value and value[: max(left, 0)]
    return OutboxRow(topic, record.subject, value, [*headers, *where])
