"""What a service says of one order at /ops/orders; the shape is the answer's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class OutboxReport:
    """`refused` says why Kafka never takes the first of the rows that it refused."""

    rows: int = 0
    oldest_s: float = 0.0
    refused: str = ""


@dataclass(frozen=True, slots=True)
class RelayReport:
    failing: str = ""


@dataclass(frozen=True, slots=True)
class ConsumerReport:
    """`lag` counts all records not yet read; None when Kafka does not answer."""

    ready: bool = True
    lag: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterReport:
    key: str
    type: str
    last_error: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectReport:
    """An effect or a timer. `attempt` counts the decisions for it, `tries` how often it was asked for."""

    id: str
    kind: str
    tries: int
    due_at: datetime
    owed_since: datetime
    attempt: int = 1
    last_error: str = ""
    needs_attention: bool = False
    may_be_resolved_as: tuple[str, ...] = ()
    with_reference: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CircuitReport:
    """`calls_again_at` is when an open one lets a call through to see."""

    provider: str
    state: str
    why: str = ""
    calls_again_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ActionReport:
    """What an operator did to the order."""

    by: str
    action: str
    note: str


@dataclass(frozen=True, slots=True)
class OrderReport:
    """`silent` says why there is no answer, `broken` what does not run; nothing else counts then."""

    service: str
    state: str = "Absent"
    outbox: OutboxReport = OutboxReport()
    relay: RelayReport = RelayReport()
    consumer: ConsumerReport = ConsumerReport()
    parked: tuple[DeadLetterReport, ...] = ()
    effects: tuple[EffectReport, ...] = ()
    timers: tuple[EffectReport, ...] = ()
    circuits: tuple[CircuitReport, ...] = ()
    actions: tuple[ActionReport, ...] = ()
    resolutions: tuple[str, ...] = ()
    silent: str = ""
    broken: str = ""


REPORT: Final = TypeAdapter(OrderReport)


def merged(reports: Sequence[OrderReport]) -> OrderReport:
    """What the instances of a service say together: one store, but each its relay, lag, circuits."""
    answers = [report for report in reports if not report.silent]
    if not answers:
        return reports[0]
    lags = [report.consumer.lag for report in answers if report.consumer.lag is not None]
    circuits = [c for report in answers for c in report.circuits if c.state != "closed"]
    return replace(
        answers[0],
        relay=next((r.relay for r in answers if r.relay.failing), RelayReport()),
        consumer=ConsumerReport(
            ready=any(report.consumer.ready for report in answers),
            lag=sum(lags) if lags else None,
        ),
        circuits=tuple(circuits or answers[0].circuits),
    )
