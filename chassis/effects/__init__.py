"""Calls to the outside: run outside of any transaction, once or again, behind a circuit breaker."""

from chassis.effects.circuit import Circuit, CircuitState
from chassis.effects.details import WithDetails
from chassis.effects.local import LocalEffectQueue
from chassis.effects.worker import EffectWorker, itself, outcome_id

__all__ = [
    "Circuit",
    "CircuitState",
    "EffectWorker",
    "LocalEffectQueue",
    "WithDetails",
    "itself",
    "outcome_id",
]
