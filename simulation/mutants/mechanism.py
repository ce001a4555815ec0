"""Bugs in the chassis: consumer, relay, effects, commands."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import chassis.effects.worker
import chassis.kafka.records
from chassis.bus import Sent
from chassis.effects.local import LocalEffectQueue
from chassis.effects.worker import EffectWorker
from chassis.errors import TransientError
from chassis.events import Envelope, Recorded
from chassis.kafka.consumer import ConsumerSession
from chassis.outbox.relay import Relay
from chassis.outbox.sender import Sender
from chassis.service import Attempt
from payment_svc.messages import Capture, CaptureDeclined
from shared_events.catalog import CATALOG
from shared_events.codec import decode
from shared_events.order import DeliveryDetailsGiven, PaymentDetailsGiven
from simulation.machine import PatchedAttribute
from simulation.memory_store import MemoryStore
from simulation.mutants.mutant import bug

CRASHES: Final = (
    "kill",
    "crash-before-commit",
    "crash-after-commit",
    "crash-after-publish",
    "crash-before-offsets",
)


@bug(
    "offsets are committed before the batch",
    "G1",
    at=(ConsumerSession, "_handle"),
    faults=CRASHES,
    seed=2,
)
async def offsets_first(handle: Any, self: Any, batches: Any) -> None:
    for place, part in batches.items():
        self.done[place] = part[-1].offset + 1
    await self.commit()
    await handle(self, batches)


@bug("an offset is committed past what was read", "G1", at=(ConsumerSession, "_handle"), seed=8)
async def offsets_too_far(handle: Any, self: Any, batches: Any) -> None:
    await handle(self, batches)
    for place, part in batches.items():
        self.done[place] = part[-1].offset + 2


@bug(
    "a batch that could not be written counts as handled",
    "G1",
    at=(ConsumerSession, "until_handled"),
    faults=("statement-error", "database-away"),
    seed=3,
)
async def failed_batch_skipped(until: Any, self: Any, records: Any) -> None:
    decide = self.decide

    async def tried(messages: Any) -> None:
        try:
            await decide(messages)
        except TransientError:
            return

    self.decide = tried
    try:
        await until(self, records)
    finally:
        del self.decide


@bug(
    "a provider is asked again under a new key",
    "G4",
    at=(chassis.effects.worker, "Attempt"),
    faults=("unknown-outcome", "crash-in-call"),
    seed=8,
)
def key_of_each_try(_original: Any, key: str, number: int, since: Any) -> Attempt:
    return Attempt(f"{key}/{number}", number, since)


@bug(
    "no answer to a capture counts as declined",
    "G2",
    at=(EffectWorker, "_ask_again"),
    faults=("unknown-outcome", "provider-away"),
)
async def unknown_is_declined(ask_again: Any, self: Any, effect: Any, error: Exception) -> None:
    if effect.kind != Capture.__name__:
        await ask_again(self, effect, error)
        return
    declined = CaptureDeclined(order_id=effect.key, reason="no_answer")
    self._known.append((effect, self._message(effect, declined, effect.traceparent)))
    self._arrived.set()


@bug("a provider is asked before the intent is in the log", "G8", faults=("broker-away",), seed=8)
def asked_before_published() -> Sequence[PatchedAttribute]:
    committed = LocalEffectQueue.committed

    def asked_at_once(self: Any, event: Any) -> None:
        committed(self, event)
        result = event.result
        self.sent(Sent(list(zip(result.outbox_ids, result.outbox, strict=True))))

    places: list[PatchedAttribute] = [(MemoryStore, "_unpublished", lambda _store: set())]
    return [*places, (LocalEffectQueue, "committed", asked_at_once)]


@bug(
    "an outcome that could not be written is dropped, and its effect with it",
    "G1",
    at=(EffectWorker, "settle"),
    faults=("statement-error", "database-away"),
    seed=5,
)
async def outcome_forgotten(settle: Any, self: Any) -> None:
    taken = len(self._known)
    try:
        await settle(self)
    except TransientError:
        for effect, _ in self._known[:taken]:
            await self.store.postpone(effect, 10.0**9, "forgotten")
        del self._known[:taken]


@bug(
    "rows leave the outbox before Kafka has them",
    "G7",
    "G8",
    at=(Relay, "relay_once"),
    faults=("broker-away", "ack-lost", "kill"),
    seed=7,
)
async def acknowledged_first(_original: Any, self: Any) -> int:
    if rows := (await self.outbox.pending(self.batch_rows)).rows:
        await self.outbox.acknowledge([id_ for id_, _ in rows])
        await self.sender.publish(rows)
    return len(rows)


@bug(
    "rows leave the outbox though their send failed",
    "G7",
    "G8",
    at=(Sender, "publish"),
    faults=("broker-away", "ack-lost"),
    seed=8,
)
async def failed_is_acknowledged(publish: Any, self: Any, rows: Any) -> Any:
    await publish(self, rows)
    return [id_ for id_, _ in rows], None


@bug(
    "a producer that failed is used again",
    "G1",
    at=(Sender, "drop_producer"),
    faults=("broker-away", "ack-lost"),
    seed=5,
)
async def producer_kept(*_: Any) -> None:
    """The producer stays, whatever befell it."""


@bug(
    "rows of a partition are sent in another order",
    "G7",
    at=(Sender, "_send_topic"),
    seed=3,
    orders=60,
)
def newest_first(send: Any, self: Any, producer: Any, topic: str, rows: Any, *rest: Any) -> Any:
    return send(self, producer, topic, rows[::-1], *rest)


@bug(
    "a consumer whose client failed stays away",
    "G1",
    at=(ConsumerSession, "run"),
    faults=("fetch-error", "broker-away"),
    seed=8,
    orders=20,
)
async def consumer_not_rebuilt(run: Any, self: Any) -> None:
    """Any error of a client ends the consumer: it is never made again."""
    try:
        await run(self)
    except Exception:  # noqa: BLE001 - a mutant
        await self.stopping.wait()


@bug(
    "loyalty goes on from Kafka's offsets, not from those beside its data",
    "G1",
    at=(ConsumerSession, "seek"),
    faults=("redis-set-back", "rebalance", "topic-shut"),
    arrive_s=3.0,
    seed=8,
    orders=30,
)
async def positions_of_kafka(seek: Any, self: Any, assigned: Any) -> None:
    keeps, self.of.store.keeps_positions = self.of.store.keeps_positions, False
    try:
        await seek(self, assigned)
    finally:
        self.of.store.keeps_positions = keeps


@bug("names and addresses go where they are kept for ever", "G9", seed=8)
def personal_data_in_the_log() -> Sequence[PatchedAttribute]:
    details = replace(CATALOG.by_event[DeliveryDetailsGiven], lane="facts")
    return [(CATALOG, "by_event", {**CATALOG.by_event, DeliveryDetailsGiven: details})]


@bug("what pays for an order goes where it is kept for ever", "G9", seed=8)
def card_data_in_the_log() -> Sequence[PatchedAttribute]:
    details = replace(CATALOG.by_event[PaymentDetailsGiven], lane="facts")
    return [(CATALOG, "by_event", {**CATALOG.by_event, PaymentDetailsGiven: details})]


@bug(
    "a record's body is not held against its key, subject, source and topic",
    "I9",
    at=(chassis.kafka.records, "decode_record"),
    faults=("hostile",),
    seed=3,
)
def forgeries_believed(_original: Any, _catalog: Any, record: Recorded) -> Envelope:
    return decode(record.value, record.headers)
