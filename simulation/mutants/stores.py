"""Bugs in the stores: transactions, locks, leases, and loyalty's scripts."""

from collections.abc import Sequence
from typing import Any, Final

import chassis.redis.rebuild
import chassis.redis.store
import simulation.rebuilding
from chassis.decide import BatchResult
from chassis.errors import ConcurrentChangeError
from chassis.handle import Handler
from chassis.message import Duplicate
from chassis.recent_outbox import RecentOutboxRows
from chassis.store import Pending
from simulation.database import Row
from simulation.memory_store import MemoryStore
from simulation.memory_unit import MemoryUnit
from simulation.mutants.mechanism import CRASHES
from simulation.mutants.mutant import Mutant, Place
from simulation.nemesis import Nemesis

# ruff: noqa: SLF001 - a mutant changes what is private
ORDER_ID: Final = 36
"""Characters of an order's id."""


def _no_inbox() -> Sequence[Place]:
    read = MemoryUnit.read

    async def forgetful(self: Any, messages: Any) -> Any:
        snapshot = await read(self, messages)
        snapshot.inbox.clear()
        return snapshot

    async def enter(self: Any, result: Any) -> None:
        await self.transaction.statement("enter")
        for id_ in sorted(result.inbox):
            await self.transaction.insert("inbox", id_, self.transaction.at)

    return [(MemoryUnit, "read", forgetful), (MemoryUnit, "_enter", enter)]


def _no_version_check() -> Sequence[Place]:
    async def saved(self: Any, key: str, change: Any) -> bool:
        self.transaction.put("own", key, Row(change.version, change.state))
        return True

    return [(MemoryUnit, "_saved", saved)]


def _cache_is_believed() -> Sequence[Place]:
    """What is cached counts as so; of all checks only the inbox is left."""

    async def unchecked(*_: Any) -> None:
        """No row is compared, nor are parked keys looked at."""

    def same(*_: Any) -> None:
        """No shared row is compared."""

    return [
        *_no_version_check(),
        (MemoryUnit, "_require_unchanged", unchecked),
        (MemoryUnit, "_require_not_parked", unchecked),
        (MemoryUnit, "_require_same", same),
    ]


def _conflict_is_ignored() -> Sequence[Place]:
    """Records count as handled though another was faster to write, and are not decided again."""
    commit = Handler._commit

    async def committed(self: Any, messages: Any, *, is_retry: bool) -> Any:
        try:
            return await commit(self, messages, is_retry=is_retry)
        except ConcurrentChangeError:
            if any(message.record is None for message in messages):
                raise
            return [Duplicate()] * len(messages)

    return [(Handler, "_commit", committed)]


def _sent_without_a_look() -> Sequence[Place]:
    return [(RecentOutboxRows, "is_complete", property(lambda self: self.outbox.leads))]


def _no_stock_lock() -> Sequence[Place]:
    """Nobody waits for another, and whoever was slower writes all the same."""

    async def lock(self: Any, _keys: Any) -> None:
        await self.transaction.statement("lock")

    def same(*_: Any) -> None:
        """The row that was read may be old."""

    return [(MemoryUnit, "_lock_shared", lock), (MemoryUnit, "_require_same", same)]


def _dual_write() -> Sequence[Place]:
    """Events of orders are committed before the states: the dual write."""
    publish = MemoryUnit._publish

    async def published(self: Any, rows: Any) -> Any:
        if not any(len(row.key) == ORDER_ID for row in rows):
            return await publish(self, rows)
        async with self.transaction.client.transaction() as other:
            return await publish(MemoryUnit(other), rows)

    return [(MemoryUnit, "_publish", published)]


def _rebuilt_without_effects() -> Sequence[Place]:
    return [(simulation.rebuilding, "outstanding_effects", lambda _service, _folded: ())]


def _rebuilt_reads_on() -> Sequence[Place]:
    def stay(self: Any, service: str) -> None:
        self.system.report(f"{service} reads on")

    return [(Nemesis, "_rewind", stay)]


def _everybody_leads() -> Sequence[Place]:
    async def lead(self: Any) -> bool:
        await self.ask("lead")
        self._leading = self.connection
        return True

    return [(MemoryStore, "lead", lead)]


def _relay_by_cursor() -> Sequence[Place]:
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


def _effects_lost() -> Sequence[Place]:
    """Of the effects of a batch, only the first is written with it."""
    add = MemoryUnit._add_pending

    async def added(self: Any, effects: Any) -> None:
        await add(self, effects[:1])

    return [(MemoryUnit, "_add_pending", added)]


def _key_not_kept() -> Sequence[Place]:
    async def answer(self: Any, _result: Any) -> None:
        await self.transaction.statement("answer")

    return [(MemoryUnit, "_answer", answer)]


def _letters_not_kept() -> Sequence[Place]:
    """Copies of dead letters are published, and nothing is there to be redriven."""

    async def park(_self: Any, _letters: Any) -> None:
        """Nothing is kept."""

    return [(MemoryUnit, "_park", park)]


def _parked_forgotten() -> Sequence[Place]:
    """What can't be decided counts as handled, with whatever waits for it."""

    def park(*_: Any) -> None:
        """Nothing is kept."""

    return [(BatchResult, "park", park)]


def _redis_never_rolled_back() -> Sequence[Place]:
    async def is_rolled_back(*_: Any) -> bool:
        return False

    return [(chassis.redis.store, "is_rolled_back", is_rolled_back)]


def _rebuilt_empty() -> Sequence[Place]:
    def fold(_service: Any, _published: Any, onto: Any, *_: Any) -> Any:
        return onto

    return [(chassis.redis.rebuild, "fold", fold)]


def _past_the_refused() -> Sequence[Place]:
    def publishable(self: Any, shut: Sequence[str]) -> Any:
        for id_, (row, _, refused) in sorted(self.database.outbox.items()):
            if not refused and row.topic not in shut:
                yield str(id_), row

    return [(MemoryStore, "_publishable", publishable)]


MUTANTS: Final = (
    Mutant(
        "past-the-refused",
        "what follows a row that Kafka refused does not wait for it",
        _past_the_refused,
        ("G7",),
        ("row-refused",),
        seed=3,
    ),
    Mutant(
        "rebuilt-empty",
        "a Redis that lost its data is used as if it were new",
        _rebuilt_empty,
        ("G7",),
        ("redis-lost",),
    ),
    Mutant(
        "no-inbox",
        "nothing remembers what was decided, and a repeat may lead to effects again",
        _no_inbox,
        ("I7",),
        ("crash-before-offsets", "rebalance", "duplicate"),
    ),
    Mutant(
        "no-version-check",
        "two owners of an order overwrite each other",
        _no_version_check,
        ("G7",),
        ("rebalance", "pause", "slow-service"),
    ),
    Mutant(
        "known-is-believed",
        "what a process has cached is decided on though another has gone on since",
        _cache_is_believed,
        ("G7", "I7"),
        ("rebalance", "pause", "slow-service"),
        seed=6,
    ),
    Mutant(
        "conflict-is-ignored",
        "a batch that another was faster with is not decided again",
        _conflict_is_ignored,
        ("G1",),
        ("rebalance", "pause", "slow-service"),
    ),
    Mutant(
        "sent-without-a-look",
        "a relay sends its local rows though another's rows must go first",
        _sent_without_a_look,
        ("G7",),
        ("rebalance", "pause", "slow-service", *CRASHES),
        seed=6,
    ),
    Mutant(
        "no-stock-lock",
        "two reservations of a SKU at once",
        _no_stock_lock,
        ("G6",),
        ("slow-service",),
    ),
    Mutant(
        "dual-write",
        "events are committed apart from the states",
        _dual_write,
        ("G4",),
        CRASHES,
    ),
    Mutant(
        "everybody-leads",
        "two relays at once",
        _everybody_leads,
        ("R7",),
        ("delay", "slow-service"),
    ),
    Mutant(
        "relay-by-cursor",
        "the relay goes on from the last id it has seen",
        _relay_by_cursor,
        ("G1", "G7"),
        ("slow-service", *CRASHES),
    ),
    Mutant(
        "effects-lost", "of the effects of a batch only the first is kept", _effects_lost, ("G8",)
    ),
    Mutant(
        "key-not-kept",
        "an idempotency key is not remembered",
        _key_not_kept,
        ("G4",),
        ("statement-error", "kill"),
    ),
    Mutant(
        "letters-not-kept",
        "a dead letter is published and not kept",
        _letters_not_kept,
        ("I9",),
        ("poison",),
    ),
    Mutant(
        "parked-forgotten",
        "what can't be decided is dropped",
        _parked_forgotten,
        ("I9",),
        ("poison",),
    ),
    Mutant(
        "redis-never-rolled-back",
        "a Redis that lost its last writes counts as complete",
        _redis_never_rolled_back,
        ("G7",),
        ("redis-set-back",),
        seed=9,
    ),
    Mutant(
        "rebuilt-without-effects",
        "a database made anew does not know the outstanding effects",
        _rebuilt_without_effects,
        ("G1",),
        ("database-lost",),
    ),
    Mutant(
        "rebuilt-reads-on",
        "a service goes on from its old positions after its database was made anew",
        _rebuilt_reads_on,
        ("G1",),
        ("database-lost", "slow-service", "broker-away"),
        seed=27,
    ),
)
