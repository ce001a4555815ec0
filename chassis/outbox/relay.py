"""The only publisher: moves outbox rows to Kafka in their order, one relay a service.

What was not acknowledged is sent again by a new producer; the inbox of each consumer removes the
repeats. A row that Kafka never takes is set aside in the store; a topic that can't be written just now is
passed over for a while. Neither holds up anything else.
"""

import asyncio
import gc
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import structlog

from chassis import clock, crashpoints, spans, tracing
from chassis.bus import Acknowledged, Bus, Sent
from chassis.errors import LeadLostError, chain_of
from chassis.health import Health
from chassis.kafka import Cluster, missing_right, reason_of
from chassis.message import BATCH_BYTES, OutboxRow, size_of
from chassis.metrics import PUBLISHED, RELAY_FAILURES
from chassis.outbox.refusals import TRIES, text_of
from chassis.outbox.sender import Sender
from chassis.pace import Pace
from chassis.store import Outbox
from chassis.tasks import own_cancellation_only

log = structlog.get_logger()
SHUT_MAX_S: Final = 15.0
"""At most so long it takes until a topic that could not be written is tried again."""


class Shut(NamedTuple):
    """A topic that can't be written: why, when (monotonic) it is tried again, how often it was."""

    why: str
    until: float
    tries: int


@dataclass
class Relay:
    """`wake` is set after each commit of this process; a look at the store finds what others wrote.

    Where no look has found a row of another instance for a while, the next one is later. `pace` counts
    the keys of a send: where sagas begin it makes batches, which later steps then take as they come.
    """

    outbox: Outbox
    cluster: Cluster
    name: str
    bus: Bus = field(default_factory=Bus)
    together: frozenset[str] = frozenset()
    """Topics of one log: while one can't be written, the others wait, as a key's events would overtake."""
    pace: Pace = field(default_factory=Pace)
    batch_rows: int = 1000
    poll_s: float = 0.02
    idle_after_s: float = 2.0
    idle_poll_s: float = 0.1
    lead_retry_s: float = 0.5
    resigned_s: float = 0.75  # others have asked to lead by then
    send_timeout_s: float = Sender.send_timeout_s
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    acknowledge_every_s: float = 0.2
    failing: str = ""
    failures: int = 0
    health: Health = field(init=False)
    sender: Sender = field(init=False)
    _found_at: float = float("-inf")
    """When a look found rows without a commit of this process (monotonic)."""
    _acknowledged_at: float = 0.0
    _sent: dict[str, OutboxRow] = field(default_factory=dict)

    _sent_bytes: int = 0
    _shut: dict[str, Shut] = field(default_factory=dict)
    _strikes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.health = Health(self.name)
        name = f"{self.name}-relay"
        self.sender = Sender(self.cluster, name, self.send_timeout_s, self.together)

    async def run(self, stopping: asyncio.Event) -> None:
        """Relay until told to stop; then once more, so that what was decided is on its way."""
        while not stopping.is_set():
            try:
                with own_cancellation_only():
                    await self._turn()
                self.failing = "; ".join(shut.why for shut in self._shut.values())
            except LeadLostError as error:
                log.info("relay_stands_back", why=str(error))
                await self._step_down(self.resigned_s)
            except Exception as error:  # noqa: BLE001 - nothing was acknowledged that Kafka lacks
                self.failures, self.failing = self.failures + 1, reason_of(error)
                RELAY_FAILURES.labels(self.name).inc()
                fields = {"error": self.failing, "failures": self.failures}
                log.warning("relay_failed", **fields)
                release_references(error)
                await self._step_down(clock.backoff_s(self.failures, base_s=0.1, max_s=2.0))
        if await self._finish():
            await self.outbox.resign()  # nothing is on its way: who waits leads at once
        await self.sender.drop_producer()
        await self.outbox.resign()

    async def _step_down(self, pause_s: float) -> None:
        """What was sent and not acknowledged yet is sent again, by whoever leads then."""
        self._forget_sent()
        await self.sender.drop_producer()
        await self.outbox.resign()  # it may be this instance alone that is cut off
        await clock.wait(max(pause_s, self.resigned_s))

    async def _finish(self) -> bool:
        """Whether Kafka has acknowledged all that was sent."""
        try:
            async with asyncio.timeout(5):
                if await self.outbox.lead():
                    while await self.relay_once():
                        pass
                    await self.acknowledge()
        except Exception as error:  # noqa: BLE001 - the next instance relays what is left
            log.warning("last_relay_failed", error=repr(error))
            return False
        return True

    async def _turn(self) -> None:
        if not await self.outbox.lead():
            await clock.wait(self.lead_retry_s)
            return
        is_woken = self.wake.is_set()
        self.wake.clear()
        relayed = await self.relay_once()
        self.failures = 0
        now = clock.monotonic()
        if now >= self._acknowledged_at + self.acknowledge_every_s:
            self._acknowledged_at = now
            await self.acknowledge()
        if relayed and not is_woken:
            self._found_at = now
        if relayed < self.batch_rows:
            await clock.wait_for(self.wake, self._pause_s(now))

    def _pause_s(self, now: float) -> float:
        pause_s = self.idle_poll_s if now - self._found_at > self.idle_after_s else self.poll_s
        return min(pause_s, self.acknowledge_every_s) if self._sent else pause_s

    async def relay_once(self) -> int:
        """Publish the oldest pending rows; returns how many Kafka has now, or never takes."""
        pending = await self._pending(self.batch_rows + len(self._sent))
        rows = [(id_, row) for id_, row in pending if id_ not in self._sent]
        if not rows:
            return 0
        crashpoints.reached(crashpoints.COMMITTED)
        acknowledged, error = await self.sender.publish(rows)
        if acknowledged:
            crashpoints.reached(crashpoints.PUBLISHED)
            done = set(acknowledged)
            sent = [(id_, row) for id_, row in rows if id_ in done]
            self._sent.update(sent)
            self._sent_bytes += sum(map(size_of, (row for _, row in sent)))
            PUBLISHED.labels(self.name).inc(len(sent))
            self.bus.publish(Sent(sent))
        self._note_topics({row.topic for _, row in rows})
        refused, error = self._refused(error)
        if refused or error is not None or self._sent_bytes > BATCH_BYTES // 2:
            await self.acknowledge()
        if refused:
            await self._mark_refused(dict(rows), refused)
        if error is not None:
            raise error
        await self.pace.handled(len({row.key for _, row in rows if row.topic in self.together}))
        return len(acknowledged) + len(refused)

    def _note_topics(self, tried: set[str]) -> None:
        """Which topics can't be written: what waits for them is passed over until they are tried again."""
        for topic in tried & self._shut.keys() - self.sender.shut.keys():
            del self._shut[topic]
            log.info("topic_open", topic=topic)
        for topic, error in self.sender.shut.items():
            before = self._shut.get(topic)
            tries = before.tries + 1 if before else 1
            pause_s = clock.backoff_s(tries, base_s=1.0, max_s=SHUT_MAX_S)
            why = str(missing_right(error, self.cluster, "write") or text_of(error))
            self._shut[topic] = Shut(f"{topic}: {why}", clock.monotonic() + pause_s, tries)
            if before is None:
                log.error("topic_shut", topic=topic, error=why)

    def _refused(self, error: BaseException | None) -> tuple[dict[str, str], BaseException | None]:
        """Rows to set aside, and why; one that was not refused often enough is an error still."""
        refused = {}
        for id_, refusal in self.sender.refused.items():
            self._strikes[id_] += 1
            if self._strikes[id_] >= TRIES.get(type(refusal), 1):
                refused[id_] = text_of(refusal)
                del self._strikes[id_]
            else:
                error = error or refusal
        return refused, error

    async def _mark_refused(self, rows: dict[str, OutboxRow], refused: dict[str, str]) -> None:
        await self.outbox.refuse(refused)
        for id_, why in refused.items():
            row = rows[id_]
            fields: dict[str, Any] = {"topic": row.topic, "saga_id": row.key, "bytes": size_of(row)}
            fields |= tracing.log_fields(spans.context_in(row.headers))
            log.error("outbox_row_refused", id=id_, error=why, **fields)

    async def _pending(self, wanted: int) -> list[tuple[str, OutboxRow]]:
        now = clock.monotonic()
        shut = {topic for topic, known in self._shut.items() if now < known.until}
        if shut & self.together:
            shut |= self.together
        return (await self.outbox.pending(wanted, *shut)).rows

    async def acknowledge(self) -> None:
        """Not at once for each: until then it is known here, and repeated if that is lost."""
        if self._sent:
            await self.outbox.acknowledge(list(self._sent))
            published = list(self._sent.values())
            self._forget_sent()
            self.bus.publish(Acknowledged(published))

    def _forget_sent(self) -> None:
        self._sent, self._sent_bytes = {}, 0


def release_references(error: BaseException) -> None:
    """Empty the frames that an error came through: they hold rows, in a cycle with the error itself."""
    for known in chain_of(error):
        traceback.clear_frames(known.__traceback__)
    gc.collect()  # a dropped producer and its batches are cycles as well
