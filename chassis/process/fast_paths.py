"""Fast paths over the one path of a message, each with a switch, put on in one place.

None of them decides anything: with all of them off, every batch is read from the database, every row of the
outbox is read back before it is sent, and every effect is leased from the store.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI

from chassis.bus import Bus
from chassis.effects import LocalEffectQueue
from chassis.events import dead_letters_of
from chassis.handle import Handler
from chassis.http import LocalWaiters, add_fast_path
from chassis.outbox import RecentOutboxRows
from chassis.process.settings import ALL_FAST_PATHS, FastPath
from chassis.service import Service
from chassis.state_cache import StateCache
from chassis.store import Outbox, Store, UnitsOfWork

OF_MEMORY: Final = frozenset({FastPath.STATE_CACHE, FastPath.RECENT_OUTBOX_ROWS})
"""Those that trust a store not to lose what it has committed."""


@dataclass(frozen=True, slots=True)
class Core:
    """The parts of a process that every message goes through, and the fast paths that are switched on."""

    bus: Bus
    handler: Handler
    outbox: Outbox
    effects: LocalEffectQueue
    switched_on: frozenset[FastPath]

    def waiters(self, is_settled: Callable[[Any], bool]) -> tuple[LocalWaiters, LocalWaiters]:
        """For requests that wait until a saga's state is settled, and until its events are in the log."""
        settled, published = LocalWaiters(), LocalWaiters()
        if FastPath.LOCAL_WAITERS in self.switched_on:
            self.bus.committed.append(
                lambda event: settled.notify(
                    key for key, row in event.result.changed.items() if is_settled(row.state)
                )
            )
            self.bus.acknowledged.append(
                lambda event: published.notify(row.key for row in event.rows)
            )
        return settled, published

    def notify_of_commits(self, notify: Callable[[Iterable[str]], None]) -> None:
        """Of the keys whose sagas this process has changed."""
        if FastPath.LOCAL_WAITERS in self.switched_on:
            self.bus.committed.append(lambda event: notify(event.result.changed))

    def add_fast_path(self, app: FastAPI, path: str) -> None:
        """To the POST of a path, which takes most requests and is a route already."""
        if FastPath.HTTP in self.switched_on:
            add_fast_path(app, path)


def core_of(
    service: Service,
    store: Store,
    kinds: frozenset[str] = frozenset(),
    switched_on: frozenset[FastPath] = ALL_FAST_PATHS,
) -> Core:
    """`kinds` are the effects that this process has a worker for."""
    on = switched_on if store.is_durable else switched_on - OF_MEMORY
    bus = Bus()
    units: UnitsOfWork = store
    outbox: Outbox = store
    if FastPath.STATE_CACHE in on:
        units = cache = StateCache(service, store)
        bus.committed.append(cache.committed)
    if FastPath.RECENT_OUTBOX_ROWS in on:
        outbox = recent = RecentOutboxRows(store)
        bus.committed.append(recent.committed)
    local = kinds if FastPath.LOCAL_EFFECTS in on else frozenset()
    handler = Handler(service, units, bus, lambda: local if outbox.leads else frozenset())
    effects = LocalEffectQueue(local, dead_letters_of(service.name))
    return Core(bus, handler, outbox, effects, on)
