"""What a process measures of its work: subscribers of the bus, and gauges of what waits in the store."""

import platform
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from chassis import metrics
from chassis.bus import Committed
from chassis.message import EffectProgress
from chassis.service import Service
from chassis.store import StoreBacklog


def show_build(service: str, release: str) -> None:
    metrics.BUILD.labels(service, release, platform.python_version()).set(1)


def show_backlog(service: Service, backlog: StoreBacklog) -> None:
    name = service.name
    metrics.OUTBOX_ROWS.labels(name).set(backlog.outbox_rows)
    metrics.OUTBOX_OLDEST.labels(name).set(backlog.outbox_oldest_s)
    metrics.OUTBOX_REFUSED.labels(name).set(backlog.outbox_refused)
    metrics.PARKED_MESSAGES.labels(name).set(backlog.parked_messages)
    metrics.PARKED_KEYS.labels(name).set(backlog.parked_keys)
    counts = Counter[tuple[str, EffectProgress]]()
    for (stored, progress), count in backlog.effects.items():
        counts[service.present_kind(stored), progress] += count
    for kind in service.effects:
        for progress in EffectProgress:
            waiting = counts[kind, progress]
            metrics.EFFECTS_OUTSTANDING.labels(name, kind, progress).set(waiting)


@dataclass
class StepMeasures:
    """Counts what is decided, and how long each step took since what it was waiting for."""

    service: Service
    _children: dict[type[Any], tuple[Any, Any]] = field(default_factory=dict)

    def committed(self, event: Committed) -> None:
        for message, outcome in event.decided():
            for decided in outcome.events:
                count, seconds = self._of(type(decided))
                count.inc()
                if message.caused_at is not None:
                    took = (message.at - message.caused_at).total_seconds()
                    seconds.observe(max(0.0, took))  # two clocks

    def _of(self, event: type[Any]) -> tuple[Any, Any]:
        found = self._children.get(event)
        if found is None:
            entry, name = self.service.catalog.by_event[event], self.service.name
            found = self._children[event] = (
                metrics.DECIDED.labels(name, entry.name, entry.lane),
                metrics.STEP_SECONDS.labels(name, entry.name),
            )
        return found
