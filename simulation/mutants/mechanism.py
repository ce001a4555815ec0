"""Bugs in the chassis: consumer, relay, effects, commands."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import chassis.decide
import chassis.effects
import chassis.records
from chassis.bus import Sent
from chassis.consumer import _Session
from chassis.effects import EffectWorker
from chassis.errors import TransientError
from chassis.events import Envelope, Recorded
from chassis.local_effects import LocalEffectQueue
from chassis.relay import Relay
from chassis.sender import Sender
from chassis.service import Attempt
from payment_svc.messages import Capture, CaptureDeclined
from shared_events.catalog import BY_EVENT, CATALOG
from shared_events.codec import decode
from shared_events.order import DeliveryDetailsGiven
from simulation.memory_store import MemoryStore
from simulation.mutants.mutant import Mutant, Place

# ruff: noqa: SLF001 - a mutant changes what is private
CRASHES: Final = (
    "kill",
    "crash-before-commit",
    "crash-after-commit",
    "crash-after-publish",
    "crash-before-offsets",
)


def _offsets_first() -> Sequence[Place]:
    handle = _Session._handle

    async def handled(self: Any, batches: Any) -> None:
        for place, part in batches.items():
            self.done[place] = part[-1].offset + 1
        await self.commit()
        await handle(self, batches)

    return [(_Session, "_handle", handled)]


def _offsets_too_far() -> Sequence[Place]:
    handle = _Session._handle

    async def handled(self: Any, batches: Any) -> None:
        await handle(self, batches)
        for place, part in batches.items():
            self.done[place] = part[-1].offset + 2

    return [(_Session, "_handle", handled)]


def _failed_batch_skipped() -> Sequence[Place]:
    until = _Session._until_handled

    async def once(self: Any, records: Any) -> None:
        decide = self._decide

        async def tried(messages: Any) -> None:
            try:
                await decide(messages)
            except TransientError:
                return

        self._decide = tried
        try:
            await until(self, records)
        finally:
            del self._decide

    return [(_Session, "_until_handled", once)]


def _key_of_each_try() -> Sequence[Place]:
    def attempt(key: str, number: int, since: Any) -> Attempt:
        return Attempt(f"{key}/{number}", number, since)

    return [(chassis.effects, "Attempt", attempt)]


def _unknown_is_declined() -> Sequence[Place]:
    call = EffectWorker._ask_again

    async def ask_again(self: Any, effect: Any, error: Exception) -> None:
        if effect.kind != Capture.__name__:
            await call(self, effect, error)
            return
        declined = CaptureDeclined(order_id=effect.key, reason="no_answer")
        self._known.append((effect, self._message(effect, declined)))
        self._arrived.set()

    return [(EffectWorker, "_ask_again", ask_again)]


def _asked_before_published() -> Sequence[Place]:
    committed = LocalEffectQueue.committed

    def asked_at_once(self: Any, event: Any) -> None:
        committed(self, event)
        result = event.result
        self.sent(Sent(list(zip(result.outbox_ids, result.outbox, strict=True))))

    places: list[Place] = [(MemoryStore, "_unpublished", lambda _store: set())]
    return [*places, (LocalEffectQueue, "committed", asked_at_once)]


def _outcome_forgotten() -> Sequence[Place]:
    """Outcomes that could not be written at once are dropped, and their effects with them."""
    settle = EffectWorker.settle

    async def settled(self: Any) -> None:
        taken = len(self._known)
        try:
            await settle(self)
        except TransientError:
            for effect, _ in self._known[:taken]:
                await self.store.postpone(effect, 10.0**9, "forgotten")
            del self._known[:taken]

    return [(EffectWorker, "settle", settled)]


def _acknowledged_first() -> Sequence[Place]:
    async def relayed(self: Any) -> int:
        if rows := (await self.outbox.pending(self.batch_rows)).rows:
            await self.outbox.acknowledge([id_ for id_, _ in rows])
            await self.sender.publish(rows)
        return len(rows)

    return [(Relay, "relay_once", relayed)]


def _failed_is_acknowledged() -> Sequence[Place]:
    publish = Sender.publish

    async def published(self: Any, rows: Any) -> Any:
        await publish(self, rows)
        return [id_ for id_, _ in rows], None

    return [(Sender, "publish", published)]


def _producer_kept() -> Sequence[Place]:
    async def kept(_self: Any) -> None:
        """The producer stays, whatever befell it."""

    return [(Sender, "drop_producer", kept)]


def _newest_first() -> Sequence[Place]:
    send = Sender._send_topic

    async def sent(self: Any, producer: Any, topic: str, rows: Any, *rest: Any) -> Any:
        return await send(self, producer, topic, rows[::-1], *rest)

    return [(Sender, "_send_topic", sent)]


def _no_watchdog() -> Sequence[Place]:
    run = _Session.run

    async def once(self: Any) -> None:
        """Any error of a client ends the consumer: it is never made again."""
        try:
            await run(self)
        except Exception:  # noqa: BLE001 - a mutant
            await self.stopping.wait()

    return [(_Session, "run", once)]


def _positions_of_kafka() -> Sequence[Place]:
    seek = _Session.seek

    async def unsought(self: Any, assigned: Any) -> None:
        keeps, self.of.store.keeps_positions = self.of.store.keeps_positions, False
        try:
            await seek(self, assigned)
        finally:
            self.of.store.keeps_positions = keeps

    return [(_Session, "seek", unsought)]


def _personal_data_in_the_log() -> Sequence[Place]:
    entry = BY_EVENT[DeliveryDetailsGiven]
    leaking = {**BY_EVENT, DeliveryDetailsGiven: replace(entry, topic="order.events")}
    return [(CATALOG, "by_event", leaking)]


def _forgeries_believed() -> Sequence[Place]:
    def believed(record: Recorded) -> Envelope:
        return decode(record.value, record.headers)

    return [(chassis.records, "decode_record", believed)]


MUTANTS: Final = (
    Mutant(
        "forgeries-believed",
        "a record's body is not held against its key, subject, source and topic",
        _forgeries_believed,
        ("I9",),
        ("hostile",),
        seed=3,
    ),
    Mutant(
        "personal-data-in-the-log",
        "names and addresses go where they are kept for ever",
        _personal_data_in_the_log,
        ("G9",),
    ),
    Mutant(
        "offsets-first",
        "offsets are committed before the batch",
        _offsets_first,
        ("G1",),
        CRASHES,
        seed=2,
    ),
    Mutant(
        "offsets-too-far", "an offset is committed past what was read", _offsets_too_far, ("G1",)
    ),
    Mutant(
        "failed-batch-skipped",
        "a batch that could not be written counts as handled",
        _failed_batch_skipped,
        ("G1",),
        ("statement-error", "database-away"),
    ),
    Mutant(
        "key-of-each-try",
        "a provider is asked again under a new key",
        _key_of_each_try,
        ("G4",),
        ("unknown-outcome", "crash-in-call"),
    ),
    Mutant(
        "unknown-is-declined",
        "no answer to a capture counts as declined",
        _unknown_is_declined,
        ("G2",),
        ("unknown-outcome", "provider-away"),
    ),
    Mutant(
        "outcome-forgotten",
        "an outcome that could not be written is dropped",
        _outcome_forgotten,
        ("G1",),
        ("statement-error", "database-away"),
    ),
    Mutant(
        "acknowledged-first",
        "rows leave the outbox before Kafka has them",
        _acknowledged_first,
        ("G7", "G8"),
        ("broker-away", "ack-lost", "kill"),
    ),
    Mutant(
        "failed-is-acknowledged",
        "rows leave the outbox though their send failed",
        _failed_is_acknowledged,
        ("G7", "G8"),
        ("broker-away", "ack-lost"),
    ),
    Mutant(
        "producer-kept",
        "a producer that failed is used again",
        _producer_kept,
        ("G1",),
        ("broker-away", "ack-lost"),
        seed=3,
    ),
    Mutant(
        "asked-before-published",
        "a provider is asked before the intent is in the log",
        _asked_before_published,
        ("G8",),
        ("broker-away",),
    ),
    Mutant("newest-first", "rows of a partition are sent in another order", _newest_first, ("G7",)),
    Mutant(
        "consumer-not-rebuilt",
        "a consumer whose client failed stays away",
        _no_watchdog,
        ("G1",),
        ("fetch-error", "broker-away"),
    ),
    Mutant(
        "positions-of-kafka",
        "loyalty goes on from Kafka's offsets, not from those beside its data",
        _positions_of_kafka,
        ("G1",),
        ("redis-set-back", "restart", "kill"),
        seed=35,
        arrive_s=6.0,
    ),
)
