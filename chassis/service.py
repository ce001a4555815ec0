"""A service, declared: what it consumes and publishes, its rules, and where its state lives."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from chassis.decision import Decision, Refusal
from chassis.events import Catalog
from chassis.message import Record

Decide: TypeAlias = Callable[[Any, Any, datetime], Decision | Refusal]
Evolve: TypeAlias = Callable[[Any, Any], Any]


Projection: TypeAlias = Callable[[Any, Sequence[Record]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to the outside: `number` counts from 1, `key` is the same for all of an effect's."""

    key: str
    number: int
    owed_since: datetime


OutstandingEffects: TypeAlias = Callable[[Any, str, datetime], tuple[Any, ...]]
EffectRunner: TypeAlias = Callable[[Any, Attempt], Awaitable[Any]]
"""Runs one effect; returns the outcome, a message to decide. Any exception is an unknown outcome:
the effect is run again, with the same key. MisconfiguredError opens the circuit at once."""


def _no_shared_keys(_own: Any, _message: Any) -> frozenset[str]:
    return frozenset()


def _no_effects(_own: Any, _key: str, _since: datetime) -> tuple[Any, ...]:
    return ()


def _latest(_one: Any, other: Any) -> Any:
    return other


@dataclass(frozen=True, slots=True)
class Provider:
    """One outside party: what it is asked for, by effect kind, and how much of it at once."""

    name: str
    runners: Mapping[str, EffectRunner]
    concurrency: int = 50
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Resolution:
    """An outcome that a person may record for an owed effect: `made` takes order id and reference."""

    effect: type[Any]
    made: Callable[[str, str], Any]
    needs_reference: bool = False


@dataclass(frozen=True)
class Service:
    """`catalog` lists the events of the system.

    `combined` joins an own state with rows that sagas share (stock, prices, customers).
    `shared_keys` names the shared rows that a message, with the own state it meets, may read or
    change; where state is rebuilt from the log, also those that one of the service's own events does.
    `outstanding_effects` names the effects and timers that an own state waits for, given its key and
    when its last event was decided. `merge` adds up two folds of one shared row, each over other
    events of the log. `timers` are effects that nobody runs: they come back as messages when they are
    due. `projections` are topics whose records are folded into a table without a decision, in batches
    of one topic. With `keeps_timeline` its store keeps what was consumed and published of each order.
    `first_messages` are those that an order usually begins with here: no row is looked for.
    """

    name: str
    catalog: Catalog
    decide: Decide
    evolve: Evolve
    initial: Any
    consumes: tuple[type[Any], ...]
    publishes: tuple[type[Any], ...]
    effects: tuple[type[Any], ...] = ()
    timers: tuple[type[Any], ...] = ()
    combined: Callable[[Any, Mapping[str, Any]], Any] | None = None
    shared_keys: Callable[[Any, Any], frozenset[str]] = _no_shared_keys
    outstanding_effects: OutstandingEffects = _no_effects
    merge: Callable[[Any, Any], Any] = _latest
    projections: Mapping[str, Projection] = field(default_factory=dict)
    resolutions: Mapping[str, Resolution] = field(default_factory=dict)
    keeps_timeline: bool = False
    first_messages: tuple[type[Any], ...] = ()

    @cached_property
    def wire_types(self) -> frozenset[str]:
        """What it reads, in every version."""
        return frozenset(
            name for event in self.consumes for name in self.catalog.by_event[event].wire_types
        )

    @cached_property
    def names(self) -> frozenset[str]:
        """What it reads, in versions to come as well."""
        return frozenset(self.catalog.by_event[event].name for event in self.consumes)

    @property
    def topics(self) -> tuple[str, ...]:
        """What it subscribes to, in a fixed order."""
        return tuple(
            sorted({self.catalog.by_event[e].topic for e in self.consumes} | set(self.projections))
        )

    @cached_property
    def own_topics(self) -> frozenset[str]:
        """What it writes, and nobody else does."""
        return frozenset(self.catalog.by_event[event].topic for event in self.publishes)

    @cached_property
    def effect_kinds(self) -> dict[str, type[Any]]:
        return {kind.__name__: kind for kind in (*self.effects, *self.timers)}

    def with_shared(self, own: Any, shared: Mapping[str, Any]) -> Any:
        return own if self.combined is None else self.combined(own, shared)

    def split(self, state: Any) -> tuple[Any, Mapping[str, Any]]:
        if self.combined is None:
            return state, {}
        own, shared = state
        return own, shared
