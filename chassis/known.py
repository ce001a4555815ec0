"""What a process has read or written itself, so that it need not read it again before it decides.

It may be old: another instance may have gone on. So a statement that writes by it says what it was
decided on, and writes nothing where that is so no more; the batch is then decided again, on what the
database says. For a second after that nothing here is believed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chassis import clock
from chassis.message import Change, Done, Message
from chassis.service import Service
from chassis.work import States, Work

DOUBT_S: Final = 1.0


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

    def unknown(self, messages: Iterable[Message]) -> set[str]:
        """Keys of which nothing is known here, and of which there may be something to know."""
        begun = self.service.begins
        return {m.key for m in messages if m.key not in self._own and not isinstance(m.body, begun)}

    def states(self, messages: Sequence[Message], read: dict[str, Change]) -> States | None:
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


def is_plain(
    messages: Sequence[Message], work: Work, states: States, was: States, read: set[str]
) -> bool:
    """All were decided on, none twice; no order taken for a new one stayed so, and no shared row is new."""
    ids = {m.id for m in messages if m.claim is None}
    once = len(ids) == sum(m.claim is None for m in messages)
    absent = {key for key, row in states.own.items() if not row.version} - read
    found = states.changed_shared <= was.shared.keys()
    return (
        once
        and found
        and not absent
        and all(isinstance(outcome, Done) for outcome in work.outcomes)
    )
