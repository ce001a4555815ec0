"""Bugs in the stores: transactions, locks, leases, and loyalty's scripts."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import chassis.redis.rebuild
import chassis.redis.store
import simulation.rebuilding
from chassis.decide import BatchResult
from chassis.errors import ConcurrentChangeError
from chassis.handle import Handler
from chassis.message import Duplicate, OutboxRow
from chassis.outbox.recent import RecentOutboxRows
from chassis.store import Pending
from simulation.database import Row
from simulation.machine import PatchedAttribute
from simulation.memory_store import MemoryStore
from simulation.memory_unit import MemoryUnit
from simulation.mutants.mechanism import CRASHES
from simulation.mutants.mutant import bug, instead_of
from simulation.nemesis import Nemesis

ORDER_ID: Final = 36
"""Characters of an order's id."""


@bug(
    "nothing remembers what was decided, and a repeat may lead to effects again",
    "I7",
    faults=("crash-before-offsets", "rebalance", "duplicate"),
)
def no_inbox() -> Sequence[PatchedAttribute]:
    async def forgetful(read: Any, self: Any, messages: Any) -> Any:
        snapshot = await read(self, messages)
        snapshot.inbox.clear()
        return snapshot

    async def enter(self: Any, result: Any) -> None:
        await self.transaction.statement("enter")
        for id_ in sorted(result.inbox):
            await self.transaction.insert("inbox", id_, self.transaction.at)

    return [instead_of(MemoryUnit, "read", forgetful), (MemoryUnit, "_enter", enter)]


@bug(
    "two owners of an order overwrite each other",
    "G7",
    at=(MemoryUnit, "_saved"),
    faults=("rebalance", "pause", "slow-service"),
    seed=2,
)
async def no_version_check(_original: Any, self: Any, key: str, change: Any) -> bool:
    self.transaction.put("own", key, Row(change.version, change.state))
    return True


@bug(
    "what a process has cached is decided on though another has gone on since",
    "G7",
    "I7",
    faults=("rebalance", "pause", "slow-service"),
    seed=30,
)
def stale_cache_is_accepted() -> Sequence[PatchedAttribute]:
    """What is cached counts as so; of all checks only the inbox is left."""

    async def unchecked(*_: Any) -> None:
        """No row is compared, nor are parked keys looked at."""

    def same(*_: Any) -> None:
        """No shared row is compared."""

    return [
        instead_of(MemoryUnit, "_saved", no_version_check),
        (MemoryUnit, "_require_unchanged", unchecked),
        (MemoryUnit, "_require_not_parked", unchecked),
        (MemoryUnit, "_require_same", same),
    ]


@bug(
    "a batch that another was faster with is not decided again",
    "G1",
    at=(Handler, "_commit"),
    faults=("rebalance", "pause", "slow-service"),
    seed=6,
)
async def conflict_is_ignored(commit: Any, self: Any, messages: Any, *, is_retry: bool) -> Any:
    try:
        return await commit(self, messages, is_retry=is_retry)
    except ConcurrentChangeError:
        if any(message.record is None for message in messages):
            raise
        return [Duplicate()] * len(messages)


@bug(
    "a relay sends its local rows though another's rows must go first",
    "G7",
    faults=("rebalance", "pause", "slow-service", *CRASHES),
    seed=6,
)
def sent_without_a_look() -> Sequence[PatchedAttribute]:
    return [(RecentOutboxRows, "is_complete", property(lambda self: self.outbox.leads))]


@bug("two reservations of a SKU at once", "G6", faults=("slow-service",), seed=2)
def no_stock_lock() -> Sequence[PatchedAttribute]:
    """Nobody waits for another, and whoever was slower writes all the same."""

    async def lock(self: Any, _keys: Any) -> None:
        await self.transaction.statement("lock")

    def same(*_: Any) -> None:
        """The row that was read may be old."""

    return [(MemoryUnit, "_lock_shared", lock), (MemoryUnit, "_require_same", same)]


@bug(
    "events are committed apart from the states",
    "G4",
    at=(MemoryUnit, "_publish"),
    faults=CRASHES,
    seed=2,
)
async def dual_write(publish: Any, self: Any, rows: Any) -> Any:
    if not any(len(row.key) == ORDER_ID for row in rows):
        return await publish(self, rows)
    async with self.transaction.client.transaction() as other:
        return await publish(MemoryUnit(other), rows)


@bug("a database made anew does not know the outstanding effects", "G1", faults=("database-lost",))
def rebuilt_without_effects() -> Sequence[PatchedAttribute]:
    return [(simulation.rebuilding, "outstanding_effects", lambda _service, _folded: ())]


@bug(
    "a service goes on from its old positions after its database was made anew",
    "G1",
    at=(Nemesis, "_rewind"),
    faults=("database-lost", "slow-service", "broker-away"),
    seed=4,
)
def rebuilt_reads_on(_original: Any, self: Any, service: str) -> None:
    self.system.report(f"{service} reads on")


@bug("two relays at once", "R7", at=(MemoryStore, "lead"), faults=("delay", "slow-service"), seed=4)
async def everybody_leads(_original: Any, self: Any) -> bool:
    await self.ask("lead")
    self.leading = self.connection
    return True


@bug(
    "the relay goes on from the last id it has seen",
    "G1",
    "G7",
    faults=("slow-service", *CRASHES),
    seed=2,
)
def relay_by_cursor() -> Sequence[PatchedAttribute]:
    seen: dict[int, int] = {}

    async def pending(self: Any, limit: int, **_known: Any) -> Pending:
        with self._as_leader() as connection:
            await self.ask("pending", connection)
        outbox, last = self.database.outbox, seen.get(id(self.database), 0)
        found = [id_ for id_ in sorted(outbox) if id_ > last][:limit]
        seen[id(self.database)] = max([last, *found])
        rows = [(str(id_), outbox[id_].row) for id_ in found]
        return Pending(rows, is_end=True, any_refused=False)

    return [(MemoryStore, "pending", pending)]


@bug(
    "of the effects of a batch only the first is kept",
    "G8",
    at=(MemoryUnit, "_add_pending"),
    seed=8,
)
async def effects_lost(add: Any, self: Any, effects: Any) -> None:
    await add(self, effects[:1])


@bug(
    "an idempotency key is not remembered",
    "G4",
    at=(MemoryUnit, "_answer"),
    faults=("statement-error", "kill"),
    seed=8,
)
async def key_not_kept(_original: Any, self: Any, _result: Any) -> None:
    await self.transaction.statement("answer")


@bug("a dead letter is published and not kept", "I9", at=(MemoryUnit, "_park"), faults=("poison",))
async def letters_not_kept(*_: Any) -> None:
    """Nothing is kept."""


@bug("what can't be decided is dropped", "I9", at=(BatchResult, "park"), faults=("poison",), seed=8)
def parked_forgotten(*_: Any) -> None:
    """Nothing is kept."""


@bug(
    "a Redis that lost its last writes counts as complete",
    "G7",
    at=(chassis.redis.store, "is_rolled_back"),
    faults=("redis-set-back",),
    seed=8,
    orders=30,
)
async def redis_never_rolled_back(*_: Any) -> bool:
    return False


@bug(
    "a Redis that lost its data is used as if it were new",
    "G7",
    at=(chassis.redis.rebuild, "fold"),
    faults=("redis-lost",),
)
def rebuilt_empty(_fold: Any, _service: Any, _published: Any, onto: Any, *_: Any) -> Any:
    return onto


@bug(
    "what follows a row that Kafka refused does not wait for it",
    "G7",
    at=(MemoryStore, "_publishable"),
    faults=("row-refused",),
    seed=3,
)
def past_the_refused(
    _original: Any, self: Any, shut: Sequence[str]
) -> Iterator[tuple[str, OutboxRow]]:
    for id_, (row, _, refused) in sorted(self.database.outbox.items()):
        if not refused and row.topic not in shut:
            yield str(id_), row
