"""How fast orders pass the edges, from a sample of the newest events. No IO."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from console import flow

RECENT: Final = timedelta(seconds=60)
"""What is longer ago says nothing of the rate now."""


class Passed(NamedTuple):
    """An event, and what led to it: one in the log, or the same service's event before."""

    service: str
    time: datetime
    causation_type: str
    cause: str
    caused_at: datetime | None
    own_before_at: datetime | None


@dataclass(frozen=True, slots=True)
class Passing:
    rate: float
    median_ms: float
    p99_ms: float


def passing_of(
    sample: Iterable[Passed], now: datetime, *, is_complete: bool
) -> Mapping[str, Passing]:
    """By edge. `is_complete` says that there were no more events than those of the sample."""
    events = list(sample)
    waited: dict[str, list[float]] = {}
    recent: dict[str, int] = {}
    for event in events:
        edge = flow.passed(event.service, event.causation_type, event.cause)
        began = event.caused_at or event.own_before_at
        if edge is None or began is None:
            continue
        waited.setdefault(edge.id, []).append(
            max(0.0, (event.time - began) / timedelta(milliseconds=1))
        )
        recent[edge.id] = recent.get(edge.id, 0) + (event.time > now - RECENT)
    seconds = _window(events, now, is_complete=is_complete).total_seconds()
    return {
        edge: Passing(recent[edge] / seconds, _quantile(ms, 0.5), _quantile(ms, 0.99))
        for edge, ms in waited.items()
    }


def _window(events: list[Passed], now: datetime, *, is_complete: bool) -> timedelta:
    """How long the sample is of, a second at least: clocks of services differ."""
    if is_complete or not events:
        return RECENT
    oldest = min(event.time for event in events)
    return min(RECENT, max(timedelta(seconds=1), now - oldest))


def _quantile(values: list[float], of: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * of))]
