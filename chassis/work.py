"""The heart of every transaction, without IO: decide on each message of a batch, in order."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from pydantic import TypeAdapter

from chassis import tracing
from chassis.message import Change, Done, Message, OutboxRow, Outcome, Parked, PendingEffect, Record
from chassis.service import Service
from shared_events import catalog
from shared_events.catalog import BY_EVENT
from shared_events.codec import encode
from shared_events.decision import Later, Refusal
from shared_events.envelope import Envelope, event_id

log = structlog.get_logger()
EVENT_MAX_BYTES: Final = 512 * 1024
"""Half of what a broker takes by default: what it refuses would wait in the outbox for ever."""
LETTER_MAX_BYTES: Final = 3 * 512 * 1024
"""Of a dead letter's value and headers as they are copied; the topic takes half a MiB more."""
_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def adapter_of(kind: type[Any]) -> TypeAdapter[Any]:
    """The reader and writer of a domain value, made once."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


@dataclass(slots=True)
class States:
    """What a batch has loaded and changed: own states by key, shared rows by id; `asked` may be absent."""

    own: dict[str, Change] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    changed_shared: set[str] = field(default_factory=set)

    def references(self, service: Service, messages: Iterable[Message]) -> frozenset[str]:
        """The shared rows that the messages may need, given the own states loaded so far."""
        absent = Change(service.initial, 0)
        return frozenset().union(
            *(service.references(self.own.get(m.key, absent).state, m.body) for m in messages)
        )

    @property
    def shared_changes(self) -> dict[str, Any]:
        return {key: self.shared[key] for key in sorted(self.changed_shared)}

    @property
    def changed(self) -> dict[str, Change]:
        return {key: row for key, row in self.own.items() if row.version != row.loaded_version}


@dataclass(slots=True)
class Work:
    """What one transaction has to write beside the states."""

    outbox: list[OutboxRow] = field(default_factory=list)
    outbox_ids: list[str] = field(default_factory=list)
    effects: list[PendingEffect] = field(default_factory=list)
    finished_effects: list[str] = field(default_factory=list)
    parked: list[tuple[Message, str]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def hand_over(self, kinds: frozenset[str]) -> None:
        """Effects of these kinds are this process's: they are owed with a first lease on them."""
        for effect in self.effects:
            if effect.kind in kinds and effect.due_at is None:
                effect.tries = 1


def work_of(
    service: Service, states: States, messages: Iterable[Message], parked_keys: set[str]
) -> Work:
    """Decide on every message. One that fails is parked with the later ones of its key."""
    work = Work()
    parked_keys = set(parked_keys)
    for message in messages:
        if message.key in parked_keys and message.record is not None:
            outcome: Outcome = Parked("waits behind a parked message of its key")
        else:
            span = f"decide {type(message.body).__name__}"
            with tracing.span(span, message.traceparent, message.key) as context:
                outcome = _decided(service, states, message, work, context)
        if isinstance(outcome, Parked):
            parked_keys.add(message.key)
            work.parked.append((message, outcome.reason))
        work.outcomes.append(outcome)
    return work


def _decided(
    service: Service, states: States, message: Message, work: Work, context: str
) -> Outcome:
    """Nothing of the batch changes before all of this message's part in it is known."""
    row = states.own.setdefault(message.key, Change(service.initial, 0))
    try:
        references = service.references(row.state, message.body)
        shared = {ref: states.shared[ref] for ref in references if ref in states.shared}
        state = service.scoped(row.state, shared)
        decision = service.decide(state, message.body, message.at)
        if isinstance(decision, Refusal):
            return decision
        if decision.impossible:
            return Parked(decision.impossible)
        for event in decision.events:
            state = service.evolve(state, event)
        rows = _published(service, message, decision.events, row.version, context)
        effects = [effect_of(message.key, effect, context) for effect in decision.effects]
        own, shared_after = service.parted(state)
        response = message.respond(decision.events, state) if message.respond else b""
    except Exception as error:  # a bug in the rules must hold up its own key only
        log.exception(
            "decide_failed",
            saga_id=message.key,
            trace_id=tracing.trace_id_of(context),
            message_id=str(message.id),
        )
        return Parked(f"{type(error).__name__}: {error}")
    if own is not row.state:
        row.state, row.version = own, row.version + len(decision.events)
    for ref, value in shared_after.items():
        if value is not states.shared.get(ref):
            states.shared[ref] = value
            states.changed_shared.add(ref)
    work.outbox.extend(rows)
    work.effects.extend(effects)
    if message.effect_id:
        work.finished_effects.append(message.effect_id)
    work.finished_effects += [effect_id(message.key, kind, 1) for kind in decision.dropped]
    return Done(decision.events, state, response)


def _published(
    service: Service, message: Message, events: tuple[Any, ...], version: int, context: str
) -> list[OutboxRow]:
    rows = []
    for number, event in enumerate((*message.companions, *events)):
        entry = BY_EVENT[type(event)]
        subject = entry.subject_of(event)
        attempt: int = getattr(event, "attempt", 1)
        own = entry.subject in {"order", "order_id"}
        sequence = version + 1 + number - len(message.companions) if own else attempt
        envelope = Envelope(
            id=event_id(subject, entry.identity, attempt),
            type=entry.wire_type,
            source=f"/{service.name}",
            subject=subject,
            time=message.at,
            sequence=max(sequence, 0),
            saga_id=subject,
            causation_id=str(message.id),
            causation_type=heard(message),
            traceparent=context,
            event=event,
        )
        value, headers = encode(envelope)
        if len(value) > EVENT_MAX_BYTES:
            raise ValueError(f"{entry.wire_type} is larger than {EVENT_MAX_BYTES} bytes")
        rows.append(OutboxRow(entry.topic, subject, value, headers))
    return rows


def effect_of(key: str, owed: Any, traceparent: str) -> PendingEffect:
    """An effect or timer as `decide` names it, as a row to keep."""
    effect, due_at = (owed.what, owed.at) if isinstance(owed, Later) else (owed, None)
    return PendingEffect(
        id=effect_id(key, type(effect), getattr(effect, "attempt", 1)),
        key=key,
        kind=type(effect).__name__,
        body=adapter_of(type(effect)).dump_json(effect),
        traceparent=traceparent,
        due_at=due_at,
    )


def effect_id(key: str, kind: type[Any], attempt: int) -> str:
    return f"{key}:{kind.__name__.lower()}:{attempt}"


def wire_type(event: Any) -> str:
    return BY_EVENT[type(event)].wire_type


def published_by(outcome: Outcome) -> tuple[str, ...]:
    """The wire types of what a decision published."""
    return tuple(map(wire_type, outcome.events)) if isinstance(outcome, Done) else ()


def heard(message: Message) -> str:
    """What led to it: an event's wire type, or a command's name."""
    known = type(message.body) in BY_EVENT
    return wire_type(message.body) if known else type(message.body).__name__


def dead_letters_of(
    service: Service, parked: Iterable[tuple[Record | None, str]]
) -> list[OutboxRow]:
    """The copies for the dead-letter topic; what did not come from Kafka has none."""
    return [_dead_letter(service, record, why) for record, why in parked if record is not None]


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
    topic, headers, left = catalog.dead_letters_of(service.name), [], LETTER_MAX_BYTES
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
