"""The port to a service's own database: PostgreSQL, Redis, or memory in the simulation."""

from collections.abc import Sequence
from typing import Protocol

from chassis.message import Message, OutboxRow, Outcome, PendingEffect, Record


class Store(Protocol):
    """Where a service keeps state, inbox, outbox, effects and parked messages, changed as one."""

    keeps_positions: bool
    """Whether the store keeps the next offsets to read; else Kafka does."""

    async def handle(
        self, messages: Sequence[Message], malformed: Sequence[tuple[Record, str]]
    ) -> list[Outcome]:
        """Decide on a batch in one transaction. Outcomes are in the order of the messages."""

    async def project(self, records: Sequence[Record]) -> None:
        """Fold records of a projected topic into their table."""

    async def positions(self) -> dict[tuple[str, int], int]:
        """The next offset to read by (topic, partition), if the store keeps positions."""

    async def reached(self, offsets: dict[tuple[str, int], int]) -> None:
        """All records before these offsets are handled, or are none of the service's business."""

    async def lead(self, shard: int) -> bool:
        """Become, or stay, the one relay of the shard. Says whether it is so."""

    async def resign(self) -> None:
        """Let other instances lead."""

    async def pending(self, shard: int, limit: int) -> list[tuple[str, OutboxRow]]:
        """The oldest rows not yet acknowledged, with their ids, in the order of decision."""

    async def acknowledge(self, shard: int, ids: Sequence[str]) -> None:
        """Kafka has these rows."""

    async def due_effects(self, limit: int, lease_s: float) -> list[PendingEffect]:
        """Effects to run now; nobody else gets them until the lease is over."""

    async def postpone(self, effect: PendingEffect, delay_s: float, error: str) -> None:
        """The effect's outcome is unknown: ask again later."""

    async def parked_keys(self) -> list[str]:
        """Keys with dead letters."""

    async def redrive(self, key: str) -> list[Outcome]:
        """Decide again on the parked messages of a key, in order, up to the first that fails."""

    async def close(self) -> None:
        """Resign and let go of all connections."""

    async def backlog(self) -> dict[str, float]:
        """Gauges: outbox rows and the age of the oldest in seconds, effects owed, parked messages."""
