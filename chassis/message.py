"""What a service is asked to decide on, wherever it came from, and what came of it.

Nobody changes a record, message or row once it is made. They are not frozen, as many are made of each
saga, and that would take four times as long.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from chassis.decision import Refusal
from chassis.ids import entry_of

ATTENTION_TRIES: Final = 8
"""An effect that was asked so often and has no outcome shows as needing a person's attention."""
REFUSED: Final = "RefusedError: "
"""How the last error of an effect begins that is refused as it stands (see chassis/errors.py)."""
FIRST_LEASE_S: Final = 4.0
"""So long an effect is a process's own to ask for that is leased with the decision to owe it."""
SUBJECT_MAX_BYTES: Final = 512
BATCH_BYTES: Final = 8 * 1024 * 1024
"""So much of an outbox is read, or kept in memory, at once, beyond the first row."""


@dataclass(slots=True)
class Record:
    """A Kafka record as it came, byte for byte."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def subject(self) -> str:
        """The key as text. One that is longer than any of ours is cut: an index has to take it."""
        key = (self.key or b"")[:SUBJECT_MAX_BYTES]
        return key.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


@dataclass(frozen=True, slots=True)
class Claim:
    """An Idempotency-Key with the fingerprint of its request."""

    scope: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """What a person did, kept in the service's own database in the same transaction as its effect."""

    by: str
    action: str
    key: str
    note: str
    detail: str = ""


SKIP: Final = "skip"
"""The action of an operator who has a service step over a record; its key is the record's place."""


def skipped_places(keys: Iterable[str]) -> frozenset[tuple[str, int, int]]:
    """Topic, partition and offset, of the keys of such actions."""
    split = (key.rsplit(":", 2) for key in keys)
    return frozenset((topic, int(partition), int(offset)) for topic, partition, offset in split)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The body of a record of which no message can be made, and why."""

    reason: str


@dataclass(slots=True, kw_only=True)
class Message:
    """One event, command or effect outcome, with all that its handling needs.

    `id` is what the inbox remembers. `effect_id` is the effect that this is the outcome of.
    `respond` turns the events of a command into the response that its idempotency key keeps.
    `companions` are events to publish after the decided ones, which no rule decides on.
    `letter_id` is the dead letter that is decided on once more. `caused_at` is when what it tells was
    decided on or asked for, by another clock; None for what begins here.
    `traceparent` is what its handling is traced below, as `chassis/tracing.py` keeps it; `created` is the
    context that its record brought along, where that is another.
    """

    id: UUID
    key: str
    body: Any
    at: datetime
    traceparent: str
    created: str = ""
    record: Record | None = None
    claim: Claim | None = None
    effect_id: str = ""
    letter_id: str = ""
    caused_at: datetime | None = None
    operator: OperatorAction | None = None
    respond: Callable[[tuple[Any, ...], Any], bytes] | None = None
    companions: tuple[Any, ...] = ()
    _entry: UUID | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def entry(self) -> UUID:
        """How the inbox calls it."""
        if self._entry is None:
            self._entry = entry_of(self.key, self.id)
        return self._entry


@dataclass(frozen=True, slots=True)
class Decided:
    """The message was decided now."""

    events: tuple[Any, ...]
    state: Any
    response: bytes = b""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """It was decided before; `response` is what its idempotency key kept."""

    response: bytes = b""


@dataclass(frozen=True, slots=True)
class IdempotencyConflict:
    """The idempotency key was used before with another request."""


@dataclass(frozen=True, slots=True)
class Parked:
    """It can't be decided, or waits behind one of its key that can't. `error_type` is what traces call it."""

    reason: str
    error_type: str = field(default="parked", compare=False)


def why_not(outcome: Parked | Refusal) -> str:
    """Why there was no decision."""
    return outcome.reason if isinstance(outcome, Parked) else outcome.detail


Outcome = Decided | Duplicate | IdempotencyConflict | Parked | Refusal


@dataclass(slots=True)
class OutboxRow:
    """An event on its way to Kafka, already in wire form."""

    topic: str
    key: str
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


def size_of(row: OutboxRow) -> int:
    """About how many bytes it takes."""
    size = len(row.value or b"")
    for name, raw in row.headers:
        size += len(name) + len(raw or b"")
    return size


class EffectProgress(StrEnum):
    """How far an outstanding effect has got: a label of `saga_effects`."""

    FIRST = "first_try"
    RETRIED = "retried"
    ATTENTION = "needs_attention"


@dataclass(slots=True)
class PendingEffect:
    """An effect to run. `id` is `{key}:{step}:{attempt}`: the provider's idempotency key.

    Without a `due_at` it is due at once, by the store's clock. `tries` counts the leases,
    `owed_since` is when it was decided on. `attempt` counts the decisions for it: a refusal may be
    followed by another attempt, with an id of its own.
    """

    id: str
    key: str
    kind: str
    body: bytes
    traceparent: str
    due_at: datetime | None = None
    tries: int = 0
    owed_since: datetime | None = None
    last_error: str = ""
    attempt: int = 1

    @property
    def needs_attention(self) -> bool:
        """Asked often without an answer, refused as it stands, or decided on again after a refusal."""
        return self.is_refused or self.tries >= ATTENTION_TRIES or self.attempt > 1

    @property
    def progress(self) -> EffectProgress:
        if self.needs_attention:
            return EffectProgress.ATTENTION
        return EffectProgress.RETRIED if self.tries > 1 else EffectProgress.FIRST

    @property
    def is_refused(self) -> bool:
        """The provider takes it for invalid: it is asked again by a person's wish only."""
        return self.last_error.startswith(REFUSED)


@dataclass(slots=True)
class VersionedState:
    """A saga's own state before and after a batch; `version` counts its published events."""

    state: Any
    version: int
    loaded_version: int = field(init=False)

    def __post_init__(self) -> None:
        self.loaded_version = self.version
