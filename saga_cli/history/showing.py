"""The events of one order as what led to what: a table, JSON, or a Mermaid sequence diagram."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json
from rich.table import Table

from chassis.events import Envelope
from chassis.tracing import trace_id_of
from guarantees.judge import by_order, causes_of
from saga_cli.log.reader import LogEvent
from saga_cli.terminal import add_plain, table_of
from saga_cli.topology import SERVICES
from shared_events.catalog import CATALOG


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """`cause` is the number of the step that led to it, 0 if none did.

    Where the cause is in no topic (a command, a timer, the outcome of an effect) it is its own
    service's last event, and the step is not `direct`. Times are by the services' clocks.
    """

    number: int
    entry: LogEvent
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


def story(entries: Iterable[LogEvent], subject: str) -> list[TimelineStep]:
    """Causes before what they led to; repeats of a publish are left out."""
    events = by_order(entries).get(subject, [])
    causes = causes_of(events)
    numbers = {id_: n for n, id_ in enumerate(causes, 1)}
    steps: list[TimelineStep] = []
    for number, (entry, cause_id) in enumerate(zip(events, causes.values(), strict=True), 1):
        cause, is_direct = numbers.get(cause_id, 0), entry.envelope.causation_id in causes
        hop = _ms(events[cause - 1], entry) if cause else None
        ms = _ms(events[0], entry)
        steps.append(TimelineStep(number, entry, cause, is_direct, ms, hop))
    return steps


def _ms(since: LogEvent, event: LogEvent) -> float:
    return (event.envelope.time - since.envelope.time).total_seconds() * 1000


def table(steps: Sequence[TimelineStep]) -> Table:
    names = ("#", "after", "on", "ms", "hop", "service", "event", "what")
    shown = table_of(*names, right={"#", "after", "ms", "hop"})
    for step in steps:
        after = "" if not step.cause else f"{step.cause}" if step.direct else f"({step.cause})"
        hop = "" if step.hop_ms is None else f"{step.hop_ms:.0f}"
        on = "" if step.direct else step.envelope.causation_type
        numbers = (str(step.number), after, on, f"{step.ms:.0f}", hop)
        event = step.envelope
        add_plain(shown, *numbers, step.service, event.type, what_of(event.event))
    return shown


def traces_of(steps: Sequence[TimelineStep]) -> dict[str, str]:
    """By the id of a trace, the numbers of its steps, in order."""
    found: dict[str, list[str]] = {}
    for step in steps:
        if trace_id := trace_id_of(step.envelope.traceparent):
            found.setdefault(trace_id, []).append(str(step.number))
    return {trace_id: ", ".join(numbers) for trace_id, numbers in found.items()}


def kind_of(steps: Sequence[TimelineStep]) -> str:
    """What the subject of these events is."""
    subject = CATALOG.entry_of(steps[0].envelope.event).subject
    return {"sku": "SKU", "customer_id": "Customer"}.get(subject, "Order")


def what_of(event: Any) -> str:
    """What an event says beside its name, in a few words."""
    what = getattr(event, "reason", "") or ""
    if getattr(event, "refunded_minor", 0):
        what += f" (refunded {event.refunded_minor / 100:.2f}"
        what += f", kept {event.fee_minor / 100:.2f})" if event.fee_minor else ")"
    if hasattr(event, "points"):
        what = f"{event.points} points {what}"
    return what


def as_json(steps: Sequence[TimelineStep]) -> list[dict[str, Any]]:
    return [
        {
            "number": step.number,
            **event_json(step.entry),
            "cause": step.cause or None,
            "direct": step.direct,
            "ms": round(step.ms, 3),
            "hop_ms": None if step.hop_ms is None else round(step.hop_ms, 3),
        }
        for step in steps
    ]


def event_json(entry: LogEvent) -> dict[str, Any]:
    envelope = entry.envelope
    return {
        "id": str(envelope.id),
        "type": envelope.type,
        "service": envelope.source[1:],
        "subject": envelope.subject,
        "time": envelope.time.isoformat(),
        "appended": appended(entry),
        "topic": entry.topic,
        "partition": entry.partition,
        "offset": entry.offset,
        "sequence": envelope.sequence,
        "causation_id": envelope.causation_id,
        "causation_type": envelope.causation_type,
        "data": from_json(CATALOG.entry_of(envelope.event).adapter.dump_json(envelope.event)),
    }


def appended(entry: LogEvent) -> str:
    at = datetime.fromtimestamp(entry.timestamp_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds")


def mermaid(steps: Sequence[TimelineStep]) -> Iterator[str]:
    """An arrow from the cause's service to the one it moved; a note for what moved nobody else."""
    yield "sequenceDiagram"
    there = {step.service for step in steps}
    yield from (f"    participant {spec.name}" for spec in SERVICES if spec.name in there)
    by_number = {step.number: step for step in steps}
    arrows = {
        (step.cause, step.service)
        for step in steps
        if step.direct and by_number[step.cause].service != step.service
    }
    moving = {cause for cause, _ in arrows}
    for step in steps:
        if step.direct and (step.cause, step.service) in arrows:
            arrows.remove((step.cause, step.service))
            cause = by_number[step.cause]
            label = f"{cause.envelope.type} (+{step.hop_ms or 0:.0f} ms)"
            yield f"    {cause.service}->>{step.service}: {label}"
        if step.number not in moving:
            yield f"    Note over {step.service}: {step.envelope.type} at {step.ms:.0f} ms"
