"""Reads the log on and on into the database: one process at a time, however many there are.

It is a client of no group and commits nothing to Kafka: how far it has read stands in its own database,
in the transaction of what it has read. So each event counts once, and what is lost of the database
is read again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Final

import structlog

from chassis import clock
from chassis.events import MalformedError
from chassis.kafka import Cluster, logged_event, places_of, reading, reason_of
from chassis.message import Record
from chassis.postgres import POISON, Connection, PostgresDatabase
from console.dropping import Dropping
from console.model import ReaderState
from console.store import ReadBatch, generation, next_offsets, refuse_forgotten, take
from saga_cli.log.kafka import kept_of
from saga_cli.log.reader import TOPICS, parts_of
from shared_events.catalog import CATALOG

log = structlog.get_logger()
LOCK: Final = 0x5A6C
"""An advisory lock of the database: who holds it reads."""
BATCH: Final = 2000
PACE_S: Final = 0.2
"""A batch that is not full is followed by the next one no sooner: many events of one order are one change."""
LOOK_S: Final = 5.0
"""So often it looks how much it has not read yet, and whether it is to read all anew."""
STALLED_S: Final = 15.0
"""A client that has got nothing for so long, although there is more to read, is made anew."""
TOPICS_S: Final = 30.0
"""So often it looks for topics and partitions that are new."""
STARTING: Final = "it starts"
STANDBY: Final = "another process of the console reads"
LOSSLESS: Final = {"synchronous_commit": "off", "jit": "off"}
"""What a crash of the database takes back is read again, as the offsets go with it."""


@dataclass
class ReaderStatus:
    """How far this process has read, for its pages and its health."""

    lag: int | None = None
    since: datetime = field(default_factory=clock.now)
    why: str = STARTING
    unread: int = 0
    last_unread: str = ""

    def reads(self, lag: int) -> None:
        self.lag, self.since, self.why = lag, clock.now(), ""

    def fails(self, why: str) -> None:
        self.lag, self.why = None, why

    def could_not_read(self, record: Record, why: Exception) -> None:
        place = f"{record.topic}/{record.partition}/{record.offset}"
        self.unread += 1
        self.last_unread = f"{place}: {type(why).__name__}"
        if isinstance(why, MalformedError):  # it never repeats the data
            self.last_unread = f"{place}: {why}"
        log.warning("record_not_read", place=place, error=self.last_unread)

    def failing(self) -> str:
        """What keeps it from reading; "" while it reads, or has just been started."""
        return "" if self.why == STARTING else self.why

    def now(self) -> ReaderState:
        return ReaderState(self.lag, self.since, self.why, self.unread, self.last_unread)


@dataclass
class LogReader:
    cluster: Cluster
    database: PostgresDatabase
    keep: timedelta = timedelta(days=90)
    """Orders that have been settled and quiet for so long are dropped."""
    status: ReaderStatus = field(default_factory=ReaderStatus)

    async def run(self, stopping: asyncio.Event) -> None:
        """Until it is asked to stop; whatever is away is waited for."""
        failures = 0
        while not stopping.is_set():
            try:
                async with self._leading() as connection:
                    if connection is not None:
                        await self._read(connection, stopping)
                        failures = 0
                        continue
                if self.status.why != STANDBY:
                    log.info("standing_by", why=STANDBY)
                self.status.fails(STANDBY)
                await clock.wait_for(stopping, 2.0)
            except Exception as error:  # noqa: BLE001 - whichever server is away: it goes on by itself
                failures += 1
                self.status.fails(reason_of(error))
                log.warning("not_reading", error=self.status.why, failures=failures)
                await clock.wait_for(stopping, clock.backoff_s(failures, max_s=5.0))

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[Connection | None]:
        """A session that alone may write, as long as it lasts; None while another has it."""
        connection = await self.database.connect(server_settings=LOSSLESS, command_timeout=60)
        try:
            is_alone = await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK)
            yield connection if is_alone else None
        finally:
            await connection.close(timeout=5)

    async def _read(self, connection: Connection, stopping: asyncio.Event) -> None:
        """Until there are other partitions than those that it began with. Raises what keeps it from it."""
        of = await generation(connection)
        async with reading(self.cluster, TOPICS, await next_offsets(connection)) as opened:
            session = ReadSession(self, opened, connection, of)
            looked = clock.monotonic()
            while not stopping.is_set():
                await session.go_on(stopping)
                if clock.monotonic() - looked > TOPICS_S:
                    looked = clock.monotonic()
                    if {*await places_of(self.cluster, TOPICS)} != opened.starts.keys():
                        log.info("other_partitions")
                        return


@dataclass
class ReadSession:
    """One client of Kafka, and the session of the database into which it reads."""

    reader: LogReader
    opened: Any
    connection: Connection
    generation: int
    _looked: float = 0.0
    _got: float = field(default_factory=clock.monotonic)
    _dropping: Dropping = field(init=False)

    def __post_init__(self) -> None:
        self._dropping = Dropping(self.reader.keep)

    async def go_on(self, stopping: asyncio.Event) -> None:
        started = clock.monotonic()
        if not self.opened.starts:  # no service has made its topics yet
            await clock.wait_for(stopping, TOPICS_S / 10)
            return
        fetched = await self.opened.client.getmany(timeout_ms=500, max_records=BATCH)
        count = sum(map(len, fetched.values()))
        if count:
            await self._take(fetched)
            self._got = clock.monotonic()
        if clock.monotonic() - self._looked > LOOK_S:
            await self._look()
        if self._is_up_to_date:
            await self._dropping.go_on(self.connection)
        if 0 < count < BATCH:
            await clock.wait_for(stopping, PACE_S - (clock.monotonic() - started))

    @property
    def _is_up_to_date(self) -> bool:
        """While much is unread, an order may have ended by what was read, and go on by what was not."""
        return self.reader.status.lag is not None and self.reader.status.lag < BATCH

    async def _look(self) -> None:
        """How many records are not read yet.

        Raises TimeoutError where none of them comes, StoreLostError where all is to be read anew.
        """
        self._looked = clock.monotonic()
        await refuse_forgotten(self.connection, self.generation)
        places = list(self.opened.starts)
        async with asyncio.timeout(10):
            ends = await self.opened.client.end_offsets(places)
        left = [ends[place] - await self.opened.client.position(place) for place in places]
        self.reader.status.reads(sum(filter(lambda n: n > 0, left)))
        if self.reader.status.lag and self._looked - self._got > STALLED_S:
            raise TimeoutError("Kafka has more to read, and gives none of it")

    async def _take(self, fetched: Any) -> None:
        parts = parts_of(self.opened.starts)
        batch = ReadBatch(
            next={(p.topic, p.partition): records[-1].offset + 1 for p, records in fetched.items()}
        )
        for record in map(kept_of, chain.from_iterable(fetched.values())):
            try:
                envelope = logged_event(CATALOG, record, parts)
            except MalformedError as error:
                self.reader.status.could_not_read(record, error)
            else:
                if CATALOG.entry_of(envelope.event).is_of_a_saga:
                    batch.events.append((record, envelope))
        await self.commit(batch)

    async def commit(self, batch: ReadBatch) -> None:
        """A batch that the database refuses is found by halves to the one event that is to blame."""
        try:
            await take(self.connection, batch, self.generation)
        except POISON as error:
            if not batch.events:
                raise
            if len(batch.events) == 1:
                self.reader.status.could_not_read(batch.events[0][0], error)
                await take(self.connection, ReadBatch(next=batch.next), self.generation)
                return
            for half in _halves(batch):
                await self.commit(half)


def _halves(batch: ReadBatch) -> Iterable[ReadBatch]:
    """The offsets go with the second."""
    half = len(batch.events) // 2
    return ReadBatch(batch.events[:half]), ReadBatch(batch.events[half:], batch.next)
