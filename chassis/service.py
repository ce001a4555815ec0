"""A service, declared: what it consumes and publishes, its rules, and where its state lives."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from chassis.decision import Decision, Refusal
from chassis.events import Catalog
from chassis.message import Record
from chassis.topic_layout import TopicLayout

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
Details: TypeAlias = Mapping[str, str]
"""What a call needs and no kept event holds, by name; all are empty where they were erased."""
LookUp: TypeAlias = Callable[[str], Awaitable[Details | None]]
"""Gives the details of a key; None where they have not come yet."""
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
    """One outside party: what it is asked for, by an effect's stored name, and how much of it at once."""

    name: str
    runners: Mapping[str, EffectRunner]
    concurrency: int = 50
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Resolution:
    """An outcome that a person may record for an outstanding effect: `made` takes its key and reference."""

    effect: type[Any]
    made: Callable[[str, str], Any]
    needs_reference: bool = False


@dataclass(frozen=True, slots=True)
class Journal:
    """A table with one row for each decision that published. The other fields name its columns.

    They are: the saga's key, when it was decided, the wire type or command that led to it, and the
    wire types that it published, separated by ", ".
    """

    table: str
    key: str
    at: str
    cause: str
    published: str

    @property
    def columns(self) -> tuple[str, str, str, str]:
        return self.key, self.at, self.cause, self.published


@dataclass(frozen=True)
class Service:
    """`catalog` lists the events of the system.

    `combined` joins an own state with rows that sagas share, such as counters or a catalogue.
    `shared_keys` names the shared rows that a message, with the own state it meets, may read or
    change; where state is rebuilt from the log, also those that one of the service's own events
    does. `outstanding_effects` names the effects and timers that an own state waits for, given its key
    and when its last event was decided. `merge` adds up two folds of one shared row, each over other
    events of the log. `timers` are effects that nobody runs: they come back as messages when they are
    due. `projections` are topics whose records are folded into a table without a decision, in batches
    of one topic. `first_messages` are those that a saga usually begins with here: no row is looked for.

    `layout` is that of the topics that it writes and reads; `version` is that of its release.

    `effects` and `timers` are classes by the name that is stored in their rows; the class may be renamed.
    `former_kinds` are names that earlier releases stored, the oldest first, with the present one: their
    rows are still read. An effect's id is made of the first name that it ever had, as the provider knows
    it by that. Raises ValueError for names that are ambiguous, and for an effect without one.
    """

    name: str
    catalog: Catalog
    decide: Decide
    evolve: Evolve
    initial: Any
    consumes: tuple[type[Any], ...]
    publishes: tuple[type[Any], ...]
    effects: Mapping[str, type[Any]] = field(default_factory=dict)
    timers: Mapping[str, type[Any]] = field(default_factory=dict)
    former_kinds: Mapping[str, str] = field(default_factory=dict)
    combined: Callable[[Any, Mapping[str, Any]], Any] | None = None
    shared_keys: Callable[[Any, Any], frozenset[str]] = _no_shared_keys
    outstanding_effects: OutstandingEffects = _no_effects
    merge: Callable[[Any, Any], Any] = _latest
    projections: Mapping[str, Projection] = field(default_factory=dict)
    resolutions: Mapping[str, Resolution] = field(default_factory=dict)
    journal: Journal | None = None
    first_messages: tuple[type[Any], ...] = ()
    layout: TopicLayout = TopicLayout.LANES
    version: str = ""

    def __post_init__(self) -> None:
        """Refuse effect names that don't say which class is meant, in a row or in an id."""
        names = [*self.effects, *self.timers, *self.former_kinds]
        classes = [*self.effects.values(), *self.timers.values()]
        wrong = [name for name in names if not name.isalnum()]
        wrong += [n for n, count in Counter(map(str.lower, names)).items() if count > 1]
        wrong += [new for new in self.former_kinds.values() if new not in self._present_kinds]
        wrong += [c.__name__ for c, count in Counter(classes).items() if count > 1]
        wrong += [x.effect.__name__ for x in self.resolutions.values() if x.effect not in classes]
        if wrong:
            raise ValueError(f"{self.name}: effects need one name each: {', '.join(wrong)}")

    @cached_property
    def wire_types(self) -> frozenset[str]:
        """What it reads, in every version."""
        return frozenset(
            name for event in self.consumes for name in self.catalog.by_event[event].wire_types
        )

    @property
    def read_types(self) -> tuple[str, ...]:
        """What it decides on or folds into a projection, in every version that it can read."""
        folded = (e for e in self.catalog.entries if e.topic in self.projections)
        return tuple(sorted(self.wire_types.union(*(e.wire_types for e in folded))))

    @property
    def written_types(self) -> tuple[str, ...]:
        """What it publishes: each event in its newest version."""
        return tuple(sorted(self.catalog.by_event[event].wire_type for event in self.publishes))

    @cached_property
    def names(self) -> frozenset[str]:
        """What it reads, in versions to come as well."""
        return frozenset(self.catalog.by_event[event].name for event in self.consumes)

    @cached_property
    def topics(self) -> tuple[str, ...]:
        """What it subscribes to, in a fixed order."""
        entries = [self.catalog.by_event[event] for event in self.consumes]
        read = {entry.topic for entry in entries} | set(self.projections)
        if self.layout is not TopicLayout.LANES:
            read.update(topic for entry in entries for topic in entry.former)
        return tuple(sorted(read))

    @property
    def read_topics(self) -> set[str]:
        """Where what it acts on stands, in any layout."""
        return {topic for e in self.consumes for topic in self.catalog.by_event[e].topics}

    @property
    def left_topics(self) -> set[str]:
        """Topics of earlier layouts with events that it acts on, and that it does not read."""
        return self.read_topics - {*self.topics}

    @cached_property
    def own_topics(self) -> frozenset[str]:
        """What it writes, and nobody else does."""
        return frozenset(map(self.topic_of, self.publishes))

    @cached_property
    def log_topics(self) -> tuple[str, ...]:
        """What it has written in any layout, of what is kept for ever: its state is their fold."""
        return self.catalog.log_of(self.name)

    def topic_of(self, event: type[Any]) -> str:
        """Where it publishes one of its events."""
        entry = self.catalog.by_event[event]
        if self.layout is TopicLayout.FORMER and entry.former:
            return entry.former[-1]
        return entry.topic

    @property
    def _present_kinds(self) -> dict[str, type[Any]]:
        return {**self.effects, **self.timers}

    @cached_property
    def effect_kinds(self) -> dict[str, type[Any]]:
        """Effects and timers by all names under which they may be stored."""
        present = self._present_kinds
        return present | {old: present[new] for old, new in self.former_kinds.items()}

    @cached_property
    def _kinds(self) -> dict[type[Any], tuple[str, str]]:
        """Of each effect and timer, the name to store and the step in its ids."""
        first = {new: old for old, new in reversed([*self.former_kinds.items()])}
        return {c: (name, first.get(name, name).lower()) for name, c in self._present_kinds.items()}

    def _kind_and_step(self, effect: type[Any]) -> tuple[str, str]:
        try:
            return self._kinds[effect]
        except KeyError:
            raise ValueError(f"{self.name} declares no effect or timer {effect.__name__}") from None

    def kind_of(self, effect: type[Any]) -> str:
        """The name under which it is stored. Raises ValueError if the service does not declare it."""
        return self._kind_and_step(effect)[0]

    def effect_id(self, key: str, effect: type[Any], attempt: int) -> str:
        """The provider's idempotency key; it is stored, and never changes. Raises as `kind_of` does."""
        return f"{key}:{self._kind_and_step(effect)[1]}:{attempt}"

    def present_kind(self, stored: str) -> str:
        """What the kind is called now."""
        return self.former_kinds.get(stored, stored)

    def projected(self, records: Sequence[Record]) -> Iterator[tuple[Projection, list[Record]]]:
        """Each projection that has some of the records, with those of its topic."""
        for topic, fold in self.projections.items():
            if some := [record for record in records if record.topic == topic]:
                yield fold, some

    def stored_kinds(self, kinds: Iterable[str]) -> tuple[str, ...]:
        """These kinds, and what earlier releases called them."""
        present = tuple(kinds)
        return (*present, *(old for old, new in self.former_kinds.items() if new in present))

    def shared_rows(self, own: Any, message: Any, rows: Mapping[str, Any]) -> dict[str, Any]:
        """Of `rows` those that a message, with the own state it meets, may read or change."""
        return {ref: rows[ref] for ref in self.shared_keys(own, message) if ref in rows}

    def with_shared(self, own: Any, shared: Mapping[str, Any]) -> Any:
        return own if self.combined is None else self.combined(own, shared)

    def split(self, state: Any) -> tuple[Any, Mapping[str, Any]]:
        if self.combined is None:
            return state, {}
        own, shared = state
        return own, shared
