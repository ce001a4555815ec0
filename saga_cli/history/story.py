"""The events of one order as what led to what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from chassis.events import Envelope
from guarantees.judge import T, by_order


@dataclass(frozen=True, slots=True)
class TimelineStep(Generic[T]):
    """`cause` is the number of the step that led to it, 0 if none did.

    Where the cause is in no topic (a command, a timer, the outcome of an effect) it is its own
    service's last event, and the step is not `direct`. Times are by the services' clocks.
    """

    number: int
    entry: T
    cause: int
    direct: bool
    ms: float
    hop_ms: float | None

    @property
    def envelope(self) -> Envelope:
        return self.entry.envelope

    @property
    def service(self) -> str:
        return self.envelope.source[1:]


def story(entries: Iterable[T], subject: str) -> list[TimelineStep[T]]:
    """Causes before what they led to; repeats of a publish are left out."""
    events = by_order(entries).get(subject, [])
    numbers = {str(entry.envelope.id): n for n, entry in enumerate(events, 1)}
    own = {(e.topic, e.envelope.sequence): n for n, e in enumerate(events, 1)}
    steps: list[TimelineStep[T]] = []
    for number, entry in enumerate(events, 1):
        known_cause = numbers.get(entry.envelope.causation_id, 0)
        cause = known_cause or own.get((entry.topic, entry.envelope.sequence - 1), 0)
        hop = _ms(events, cause, number) if cause else None
        steps.append(
            TimelineStep(number, entry, cause, bool(known_cause), _ms(events, 1, number), hop)
        )
    return steps


def _ms(events: Sequence[Any], since: int, number: int) -> float:
    passed = events[number - 1].envelope.time - events[since - 1].envelope.time
    return float(passed.total_seconds() * 1000)
