"""What a process has read or written itself, so that it need not read it again before it decides.

It may be old: another instance may have gone on. So a statement that writes by it says what it was
decided on, and writes nothing where that is so no more; the batch is then decided again, on what the
database says. For a second after that nothing here is believed.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from chassis import clock
from chassis.errors import ConcurrentChangeError
from chassis.message import Change, Done, Message
from chassis.service import Service
from chassis.work import States, Work, work_of

DOUBT_S: Final = 1.0
Load: TypeAlias = Callable[[set[str]], Awaitable[dict[str, Change]]]
"""What the database has of these orders."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What was decided, to be written if all of it is still so: `was` are the shared rows before it."""

    work: Work
    states: States
    was: dict[str, Any]

    @property
    def left(self) -> dict[str, Change]:
        """Own rows that were decided on and stay as they are."""
        own = self.states.own.items()
        return {key: row for key, row in own if row.version == row.loaded_version and row.version}

    @property
    def absent(self) -> frozenset[str]:
        """Shared rows that were looked for, and are not there."""
        return self.states.asked - self.was.keys()


@dataclass
class Known:
    """Own states by key with their versions, and shared rows by id: of each so many, the latest used."""

    service: Service
    rows_max: int = 10_000
    _own: dict[str, tuple[Any, int]] = field(default_factory=dict)
    _shared: dict[str, Any] = field(default_factory=dict)
    _doubted_until: float = 0.0

    @property
    def is_trusted(self) -> bool:
        return clock.monotonic() >= self._doubted_until

    def doubt(self, seconds: float = DOUBT_S) -> None:
        self._doubted_until = clock.monotonic() + seconds

    async def carried_on(
        self, messages: Sequence[Message], load: Load, write: Callable[[Tried], Awaitable[None]]
    ) -> tuple[Work, States] | None:
        """Decide on what is known, and what can be loaded of the rest, and write it if it is still so.

        None, and nothing done, where that won't do.
        """
        if not self.is_trusted or any(m.operator is not None for m in messages):
            return None
        unknown = self._unknown(messages)
        tried = self._tried(messages, unknown, await load(unknown) if unknown else {})
        if tried is None:
            return None
        try:
            await write(tried)
        except ConcurrentChangeError:
            self.doubt()
            return None
        return tried.work, tried.states

    def _unknown(self, messages: Iterable[Message]) -> set[str]:
        """Keys of which nothing is known here, and of which there may be something to know."""
        begun = self.service.begins
        return {m.key for m in messages if m.key not in self._own and not isinstance(m.body, begun)}

    def _tried(
        self, messages: Sequence[Message], unknown: set[str], read: dict[str, Change]
    ) -> Tried | None:
        """Decide, with what was `read` of the unknown; None where too little is known for it.

        Each message has to be decided on, and for the first time; none may be parked or refused. No
        order that was taken for a new one may stay so, and no shared row may be new.
        """
        states = self._states(messages, read)
        if states is None:
            return None
        was = dict(states.shared)
        work = work_of(self.service, states, messages, set())
        ids = [m.id for m in messages if m.claim is None]
        absent = {key for key, row in states.own.items() if not row.version} - unknown
        is_plain = (
            len(set(ids)) == len(ids)
            and not absent
            and states.changed_shared <= was.keys()
            and all(isinstance(outcome, Done) for outcome in work.outcomes)
        )
        return Tried(work, states, was) if is_plain else None

    def _states(self, messages: Sequence[Message], read: dict[str, Change]) -> States | None:
        """With what was `read` of the unknown; None if of a shared row not even its absence is known."""
        own = {m.key: Change(*self._own[m.key]) for m in messages if m.key in self._own}
        states = States(own=own | read)
        if self.service.scope is not None:
            states.asked = states.references(self.service, messages)
            if not states.asked <= self._shared.keys():
                return None
            known = {ref: self._shared[ref] for ref in states.asked}
            states.shared = {ref: row for ref, row in known.items() if row is not None}
        return states

    def learn(self, states: States) -> None:
        """What was committed, or read and left as it was."""
        for key, row in states.own.items():
            if row.version:
                self._own.pop(key, None)
                self._own[key] = (row.state, row.version)
        for ref in states.asked:
            self._shared.pop(ref, None)
            self._shared[ref] = states.shared.get(ref)
        for rows in (self._own, self._shared):
            while len(rows) > self.rows_max:
                del rows[next(iter(rows))]
