"""Orders in trouble, made by hand: what the services would say of one."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from guarantees.diagnosis import Diagnosis, Finding, diagnose
from guarantees.whereabouts import (
    CircuitReport,
    ConsumerReport,
    DeadLetterReport,
    EffectReport,
    OrderReport,
    OutboxReport,
    RelayReport,
)
from saga_cli.topology import BY_NAME

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
ORDER: Final = "o-1"


def diagnosed(**reported: Any) -> Diagnosis:
    """Each service by its state, or by more; one that is not named has never heard of the order."""
    reports = []
    for name in BY_NAME:
        report = reported.get(name, "Absent")
        fields = {"state": report} if isinstance(report, str) else report
        reports.append(OrderReport(name, **fields))
    return diagnose(ORDER, reports, NOW)


def first(diagnosis: Diagnosis) -> Finding:
    assert diagnosis.findings, "nobody has to act"
    return diagnosis.findings[0]


def silent(service: str, why: str = "does not answer") -> dict[str, Any]:
    return {"silent": why, "broken": service}


def sent_late(state: str, seconds: float, failing: str = "") -> dict[str, Any]:
    """One event waits in the outbox."""
    return {"state": state, "outbox": OutboxReport(1, seconds), "relay": RelayReport(failing)}


def reading(state: str = "Absent", lag: int | None = 0, *, ready: bool = True) -> dict[str, Any]:
    return {"state": state, "consumer": ConsumerReport(ready=ready, lag=lag)}


def a_letter(wire_type: str, **changes: Any) -> DeadLetterReport:
    fields: dict[str, Any] = {
        "key": ORDER,
        "type": wire_type,
        "last_error": "a bug",
        "attempts": 1,
    }
    return DeadLetterReport(**{**fields, **changes})


def an_effect(kind: str, *, in_s: float = 10, tries: int = 3, **changes: Any) -> EffectReport:
    fields: dict[str, Any] = {
        "id": f"{ORDER}:{kind.lower()}:1",
        "kind": kind,
        "tries": tries,
        "due_at": NOW + timedelta(seconds=in_s),
        "owed_since": NOW - timedelta(minutes=3),
        "last_error": "ProviderError: 500",
    }
    return EffectReport(**{**fields, **changes})


OPEN: Final = CircuitReport("stripe", "open", "401")


def capturing(**changes: Any) -> dict[str, Any]:
    circuits = changes.pop("circuits", ())
    asked = (an_effect("Capture", **changes),)
    return {"state": "Capturing", "effects": asked, "circuits": circuits}
