"""States that this process has read or written itself, so that it need not read them again.

They may be old: another instance may have gone on. A commit writes nothing where what it was decided on
is no longer so; the batch is then decided again on what the database has, and for a second after that
nothing here is used.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

from chassis import clock
from chassis.bus import Committed
from chassis.decide import BatchResult, Snapshot
from chassis.errors import ConcurrentChangeError
from chassis.message import Message, VersionedState
from chassis.service import Service
from chassis.store import UnitOfWork, UnitsOfWork

DOUBT_S: Final = 1.0


@dataclass
class StateCache:
    """A decorator of units of work: of own states and of shared rows so many, the latest used."""

    service: Service
    units: UnitsOfWork
    rows_max: int = 10_000
    own: dict[str, tuple[Any, int]] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    _doubted_until: float = 0.0

    @property
    def is_trusted(self) -> bool:
        return clock.monotonic() >= self._doubted_until

    def doubt(self, seconds: float = DOUBT_S) -> None:
        self._doubted_until = clock.monotonic() + seconds

    def begin(self, *, is_retry: bool = False) -> AbstractAsyncContextManager[UnitOfWork]:
        begun = self.units.begin(is_retry=is_retry)
        return begun if is_retry or not self.is_trusted else _Begun(self, begun)

    def states_of(self, messages: Sequence[Message]) -> dict[str, VersionedState]:
        return {m.key: VersionedState(*self.own[m.key]) for m in messages if m.key in self.own}

    def shared_rows(self, keys: frozenset[str]) -> dict[str, Any] | None:
        """The rows that exist of these; None if of one not even its absence is known."""
        if not keys <= self.shared.keys():
            return None
        return {key: row for key in keys if (row := self.shared[key]) is not None}

    def committed(self, event: Committed) -> None:
        result = event.result
        for key, row in result.own.items():
            if row.version:
                self.own.pop(key, None)
                self.own[key] = (row.state, row.version)
        for key in result.read.shared_keys:
            self.shared.pop(key, None)
            self.shared[key] = result.shared.get(key)
        for rows in (self.own, self.shared):
            while len(rows) > self.rows_max:
                del rows[next(iter(rows))]


@dataclass(slots=True)
class _Begun:
    cache: StateCache
    begun: AbstractAsyncContextManager[UnitOfWork]

    async def __aenter__(self) -> UnitOfWork:
        return _CachedUnit(self.cache, await self.begun.__aenter__())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return await self.begun.__aexit__(kind, error, trace)


@dataclass(slots=True)
class _CachedUnit:
    cache: StateCache
    unit: UnitOfWork

    async def read(self, messages: Sequence[Message]) -> Snapshot:
        """Only what is not cached is read, unless it is a message that sagas begin with."""
        own, first_messages = self.cache.states_of(messages), self.cache.service.first_messages
        unknown = [
            m for m in messages if m.key not in own and not isinstance(m.body, first_messages)
        ]
        snapshot = await self.unit.read(unknown) if unknown else Snapshot()
        snapshot.own |= own
        return snapshot

    async def read_shared(self, snapshot: Snapshot, keys: frozenset[str]) -> None:
        rows = self.cache.shared_rows(keys)
        if rows is None:
            await self.unit.read_shared(snapshot, keys)
        else:
            snapshot.shared, snapshot.shared_keys = rows, keys

    async def commit(self, result: BatchResult) -> None:
        try:
            await self.unit.commit(result)
        except ConcurrentChangeError:
            self.cache.doubt()
            raise
