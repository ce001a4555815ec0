"""What keeps a process from its work just now: shown by /health/ready, its log and `saga_degraded`.

A process is *ready* while it can do its durable job, which is to commit to its store; it answers 503
otherwise. Whatever else fails makes it *degraded*: it answers 200 and names the reasons. A part that
notices a failure reports it under a fixed name, and clears it when it is over:

    node.health.report("outbox_rows_refused", f"{topic}: {error}")
    node.health.clear("outbox_rows_refused")

A part that keeps the state anyway is watched instead; it tells the failure in words, "" for none:

    node.health.watch("relay_failing", lambda: relay.failing)

`blocking=True` is for what makes the durable job impossible. Names are in snake_case and do not
vary (they are values of a metric's label); docs/operators.md lists them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from chassis import clock
from chassis.metrics import DEGRADED, READY

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that fails, since when, and what of it a person should know."""

    reason: str
    detail: str
    since: datetime
    blocking: bool = False


@dataclass
class Health:
    """The conditions of one process of a service."""

    service: str
    _reported: dict[str, tuple[str, bool]] = field(default_factory=dict)
    _watched: dict[str, tuple[Callable[[], str], bool]] = field(default_factory=dict)
    _known: dict[str, Condition] = field(default_factory=dict)

    def report(self, reason: str, detail: str, *, blocking: bool = False) -> None:
        """It fails, until it is cleared. A later report replaces the detail."""
        self._reported[reason] = (detail, blocking)

    def clear(self, reason: str) -> None:
        self._reported.pop(reason, None)

    def watch(self, reason: str, reason_of: Callable[[], str], *, blocking: bool = False) -> None:
        self._watched[reason] = (reason_of, blocking)

    def now(self) -> tuple[Condition, ...]:
        """What fails now, what blocks first; a condition that is new or over is logged, and measured."""
        failing = {
            reason: (reason_of(), blocking)
            for reason, (reason_of, blocking) in self._watched.items()
        }
        failing = {reason: found for reason, found in failing.items() if found[0]} | self._reported
        for reason in self._known.keys() - failing.keys():
            over = self._known.pop(reason)
            DEGRADED.labels(self.service, reason).set(0)
            log.info("recovered", reason=reason, since=over.since.isoformat())
        for reason, (detail, blocking) in failing.items():
            before = self._known.get(reason)
            since = before.since if before else clock.now()
            self._known[reason] = Condition(reason, detail, since, blocking)
            DEGRADED.labels(self.service, reason).set(1)
            if before is None:
                log.warning("degraded", reason=reason, detail=detail, ready=not blocking)
        found = sorted(self._known.values(), key=lambda c: (not c.blocking, c.reason))
        READY.labels(self.service).set(not any(c.blocking for c in found))
        return tuple(found)
