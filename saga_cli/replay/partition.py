"""Partitions of a service's topic, folded in memory and written in one transaction each.

They are folded side by side, in processes that end with the one that started them.
"""

import asyncio
import gc
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from chassis import crashpoints
from chassis.events import Envelope
from chassis.ids import entry_of
from chassis.kafka import check_part, projected
from chassis.message import PendingEffect, Record
from chassis.postgres import POISON, TRANSIENT, Connection
from chassis.replay import Folded, InTurn, fold, outstanding_effects
from chassis.service import Service
from guarantees.declared import configured, tables_of
from saga_cli.clients import database
from saga_cli.log.reader import own_events, position_of, read_spans
from saga_cli.progress import ReadProgress
from saga_cli.replay import mark
from saga_cli.replay.job import PartitionJob, ReplayError
from saga_cli.terminal import plain

EFFECTS: Final = ("id", "key", "kind", "body", "traceparent", "attempt", "due_at", "owed_since")

JournalEntries: TypeAlias = dict[tuple[str, str], tuple[datetime, str, dict[UUID, str]]]
"""By key and cause when it was decided, on what, and what was published: wire types by event id."""


async def fold_partition(part: PartitionJob, progress: ReadProgress) -> None:
    """Raises ReplayError for what makes no sense, HoleError for what is kept nowhere."""
    service = configured(part.job.service)
    if part.topics & service.projections.keys():
        await _project(part, service, progress)
        return
    gc.disable()  # millions of values that all stay would be looked through again and again
    try:
        folded, journal = await folded_part(part, service, progress)
        await _write(part, service, folded, journal)
    finally:
        gc.enable()


async def folded_part(
    part: PartitionJob, service: Service, progress: ReadProgress
) -> tuple[Folded, JournalEntries]:
    folded, turns = Folded(), InTurn()
    journal: JournalEntries = {}

    def add(published: Iterable[Envelope]) -> None:
        events = list(published)
        fold(service, events, folded, _left_out)
        if service.journal is None:
            return
        for e in events:  # one decision is one line, with what was published twice in it once
            line = (e.time, e.causation_type, dict[UUID, str]())
            _, _, types = journal.setdefault((e.subject, e.causation_id), line)
            types[e.id] = e.type

    async for batch in read_spans(part.job.opened(), part.spans, progress):
        own = own_events(service.name, batch, _unreadable, part.parts)
        add(turns.take(envelope for _, envelope in own))
    while turns.ahead and not part.job.limit:
        missing = turns.first_ahead()[0]
        what = f"the log lacks an event of {missing.subject} before its number {missing.sequence}"
        if not part.job.over_holes:
            put_back = f"put back what was lost, `saga republish {service.name}`"
            raise ReplayError(f"{what}: {put_back}, or go on without it, --over-holes")
        _write_error(what)
        add(turns.go_on(missing.subject))
    return folded, journal


async def _write(
    part: PartitionJob, service: Service, folded: Folded, journal: JournalEntries
) -> None:
    own, _ = tables_of(service.name)
    async with database(part.job.url) as connection:
        async with connection.transaction():
            if await mark.is_folded(connection, part.spans):
                return
            await own.copy(connection, folded.own.items())
            causes = (
                (entry_of(key, UUID(id_)),) for key, ids in folded.causes.items() for id_ in ids
            )
            await _copied(connection, "inbox", ("message_id",), causes)
            effects = [_effect_row(*each) for each in outstanding_effects(service, folded)]
            await _copied(connection, "effects", EFFECTS, effects)
            if (table := service.journal) is not None:
                lines = (
                    (key, at, message, ", ".join(types.values()))
                    for (key, _), (at, message, types) in journal.items()
                )
                await _copied(connection, table.table, table.columns, lines)
            counts = {
                "events": len(folded.seen),
                "orders": len(folded.own),
                "effects": len(effects),
                "shared": {key: asdict(value) for key, value in folded.shared.items()},
            }
            await mark.folded(connection, part.spans, counts)
        crashpoints.reached(crashpoints.REBUILDING)


async def _copied(
    connection: Connection, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]
) -> None:
    if found := list(rows):
        await connection.copy_records_to_table(table, columns=columns, records=found)


def _effect_row(effect: PendingEffect, since: datetime) -> tuple[Any, ...]:
    due_at = effect.due_at or datetime.now(UTC)
    of = (effect.id, effect.key, effect.kind, effect.body, effect.traceparent, effect.attempt)
    return (*of, due_at, since)


async def _project(part: PartitionJob, service: Service, progress: ReadProgress) -> None:
    """A topic that the service folds into a table without a decision, batch by batch."""
    (topic,) = part.topics
    project = service.projections[topic]
    async with database(part.job.url) as connection, connection.transaction():
        if await mark.is_folded(connection, part.spans):
            return

        async def fold_all(records: Sequence[Record]) -> None:
            for record in records:
                check_part(record, part.parts)
            try:
                async with connection.transaction():
                    await project(connection, records)
            except POISON:
                raise
            except TRANSIENT as error:
                raise ConnectionError(str(error)) from error

        instant = part.job.limit.instant
        up_to_ms = instant.timestamp() * 1000 if instant else float("inf")
        async for batch in read_spans(part.job.opened(), part.spans, progress):
            before = [record for record in batch if record.timestamp_ms < up_to_ms]
            for failed in await projected(fold_all, before):
                _write_error(f"{failed.key}: {failed.body.reason}; the table keeps what was before")
        await mark.folded(connection, part.spans, {"projected": part.length})


def _unreadable(record: Record, error: ValueError) -> None:
    """If others rest on it, the hole that it leaves is what the replay fails for."""
    _write_error(f"the record at {position_of(record)} can't be read: {error}")


def _left_out(envelope: Envelope, error: Exception) -> None:
    event = f"{envelope.type}, number {envelope.sequence} of {envelope.subject}"
    _write_error(f"{event}, does not follow what is before it and is left out: {error}")


def _write_error(what: str) -> None:
    sys.stderr.write(f"saga: {plain(what)}\n")


SEEN_EVERY_S: Final = 0.2
FEW: Final = 20_000
"""A process takes a second or two to start: so many records are folded sooner in this one."""
_read: Any = None


def fold_all(parts: Sequence[PartitionJob], jobs: int, progress: ReadProgress) -> None:
    """Raises what `fold_partition` raises, and ReplayError when a process was killed."""
    if jobs == 1 or sum(part.length for part in parts) < FEW:
        for part in parts:
            asyncio.run(fold_partition(part, progress))
        return
    spawn = multiprocessing.get_context("spawn")
    read = spawn.Value("q", 0)
    largest_first = sorted(parts, key=lambda part: -part.length)
    pool = ProcessPoolExecutor(jobs, spawn, _begin, (os.getpid(), read))
    try:
        waiting, seen = {pool.submit(_fold, part) for part in largest_first}, 0
        while waiting:
            done, waiting = wait(waiting, SEEN_EVERY_S)
            progress(read.value - seen, 0)
            seen = read.value
            for future in done:
                future.result()
    except BrokenProcessPool as error:
        raise ReplayError("a process was killed: run the same again, it goes on") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(parent: int, read: Any) -> None:
    global _read  # noqa: PLW0603 - a process of the pool has one
    _read = read

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SEEN_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _fold(part: PartitionJob) -> None:
    asyncio.run(fold_partition(part, _report))


def _report(read: int, _more: int) -> None:
    with _read.get_lock():
        _read.value += read
