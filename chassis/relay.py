"""The only publisher: moves outbox rows to Kafka in their order, one relay a shard.

What was not acknowledged is sent again by a new producer; the inbox of each consumer removes the
repeats.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from chassis import clock, crashpoints
from chassis.health import Health
from chassis.message import OutboxRow
from chassis.metrics import PUBLISHED, RELAY_FAILURES
from chassis.sender import Sender
from chassis.store import Store
from chassis.tasks import own_cancellation_only

log = structlog.get_logger()


@dataclass
class Relay:
    """`wake` is set after each commit of this process; a look at the store finds what others wrote.

    Where nothing was published for a while, nobody waits for the next poll: it is slower then.
    `on_sent` are told the ids and rows that Kafka has now, `on_published` once the store knows it too.
    """

    store: Store
    bootstrap: str
    name: str
    shard: int = 0
    batch_rows: int = 1000
    poll_s: float = 0.02
    idle_after_s: float = 2.0
    idle_poll_s: float = 0.1
    look_s: float = 0.1
    lead_retry_s: float = 0.5
    resigned_s: float = 0.75  # others have asked to lead by then
    send_timeout_s: float = Sender.send_timeout_s
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    on_sent: list[Callable[[Sequence[tuple[str, OutboxRow]]], None]] = field(default_factory=list)
    on_published: list[Callable[[Sequence[OutboxRow]], None]] = field(default_factory=list)
    acknowledge_every_s: float = 0.2
    failing: str = ""
    failures: int = 0
    health: Health = field(init=False)
    sender: Sender = field(init=False)
    _relayed_at: float = 0.0
    _look_at: float = 0.0
    _acknowledged_at: float = 0.0
    _sent: dict[str, OutboxRow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.health = Health(self.name)
        self.sender = Sender(self.bootstrap, f"{self.name}-relay", self.send_timeout_s)

    async def run(self, stopping: asyncio.Event) -> None:
        """Relay until told to stop; then once more, so that what was decided is on its way."""
        while not stopping.is_set():
            try:
                with own_cancellation_only():
                    await self._turn()
                self.failing = ""
            except Exception as error:  # noqa: BLE001 - nothing was acknowledged that Kafka lacks
                self.failures, self.failing = self.failures + 1, repr(error)
                RELAY_FAILURES.labels(self.name).inc()
                told = {"error": repr(error), "failures": self.failures}
                log.warning("relay_failed", shard=self.shard, **told)
                self._sent.clear()
                await self.sender.drop_producer()
                await self.store.resign()  # it may be this instance alone that is cut off
                pause_s = clock.backoff_s(self.failures, base_s=0.1, max_s=2.0)
                await clock.wait(max(pause_s, self.resigned_s))
        await self._finish()

    async def _finish(self) -> None:
        try:
            async with asyncio.timeout(5):
                if await self.store.lead(self.shard):
                    while await self.relay_once():
                        pass
                    await self.acknowledge()
        except Exception as error:  # noqa: BLE001 - the next instance relays what is left
            log.warning("last_relay_failed", error=repr(error))
        await self.sender.drop_producer()

    async def _turn(self) -> None:
        if not await self.store.lead(self.shard):
            await clock.wait(self.lead_retry_s)
            return
        self.wake.clear()
        relayed = await self.relay_once()
        self.failures = 0  # not by standing by, or what is refused would never be looked past
        now = clock.monotonic()
        if now >= self._acknowledged_at + self.acknowledge_every_s:
            self._acknowledged_at = now
            await self.acknowledge()
        if relayed:
            self._relayed_at = now
        if relayed < self.batch_rows:
            await clock.wait_for(self.wake, self._pause_s(now))

    def _pause_s(self, now: float) -> float:
        if self._sent:
            return min(self.poll_s, self.acknowledge_every_s)
        return self.idle_poll_s if now - self._relayed_at > self.idle_after_s else self.poll_s

    async def relay_once(self) -> int:
        """Publish the oldest pending rows; returns how many Kafka has now."""
        # What Kafka refuses stays: a wider look finds what is behind it.
        wanted = self.batch_rows * min(1 + self.failures, 20) + len(self._sent)
        pending = await self._pending(wanted)
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
            PUBLISHED.labels(self.name).inc(len(sent))
            for tell in self.on_sent:
                tell(sent)
        if error is not None:
            await self.acknowledge()
            raise error
        return len(acknowledged)

    async def _pending(self, wanted: int) -> list[tuple[str, OutboxRow]]:
        now = clock.monotonic()
        known = self.store.at_hand(self.shard, wanted) if now < self._look_at else None
        if known is not None:
            return known
        self._look_at = now + self.look_s
        return await self.store.pending(self.shard, wanted)

    async def acknowledge(self) -> None:
        """Not at once for each: until then it is known here, and repeated if that is lost."""
        if self._sent:
            await self.store.acknowledge(self.shard, list(self._sent))
            published, self._sent = list(self._sent.values()), {}
            for told in self.on_published:
                told(published)
