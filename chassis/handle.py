"""The one path of every message: read what is known, decide, commit.

Where another was faster it is decided again. A message that poisons its batch, by whatever error, is found
by halves and parked, so that it holds up no other.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import structlog

from chassis import clock, spans, statement_spans, tracing
from chassis.bus import Bus, Committed
from chassis.dead_letters import name_of_place, place_of, reason_of
from chassis.decide import BatchResult, Snapshot, decide_batch
from chassis.errors import OUTAGES, ConcurrentChangeError
from chassis.message import Duplicate, Message, Outcome, Parked, Record, Unreadable
from chassis.service import Service
from chassis.store import UnitOfWork, UnitsOfWork

log = structlog.get_logger()
CONFLICTS_MAX: Final = 8
T = TypeVar("T")
R = TypeVar("R")


def no_kinds() -> frozenset[str]:
    return frozenset()


@dataclass
class Handler:
    """`leased` are the kinds of effects that this process will run itself, as of now."""

    service: Service
    units: UnitsOfWork
    bus: Bus = field(default_factory=Bus)
    leased: Callable[[], frozenset[str]] = no_kinds

    async def handle(self, messages: Sequence[Message]) -> list[Outcome]:
        """Decide on a batch; outcomes are in the order of the messages.

        Raises TransientError, with nothing changed, when the database is away, or others were faster
        CONFLICTS_MAX times.
        """
        if not messages:
            return []
        return await in_halves(self._until_committed, messages, self._park)

    async def _until_committed(self, messages: Sequence[Message]) -> list[Outcome]:
        for tries in range(CONFLICTS_MAX):
            try:
                return await self._commit(messages, is_retry=tries > 0)
            except ConcurrentChangeError:
                if tries > 0:
                    await clock.wait(clock.backoff_s(tries, base_s=0.005, max_s=0.2))
        raise ConcurrentChangeError(f"others were faster {CONFLICTS_MAX} times")

    async def _commit(self, messages: Sequence[Message], *, is_retry: bool) -> list[Outcome]:
        async with self.units.begin(is_retry=is_retry) as unit:
            with statement_spans.about(message.traceparent for message in messages):
                snapshot = await self._read(unit, messages)
            result = decide_batch(self.service, snapshot, messages)
            result.lease(self.leased())
            with statement_spans.about(result.contexts):
                await unit.commit(result)
            self.bus.publish(Committed(messages, result))  # before anything else runs here
        spans.end(result.spans)
        return result.outcomes

    async def _read(self, unit: UnitOfWork, messages: Sequence[Message]) -> Snapshot:
        snapshot = await unit.read(messages)
        if self.service.combined is not None:
            new = [message for message in messages if snapshot.settled(message) is None]
            if wanted := snapshot.wanted_shared(self.service, new):
                await unit.read_shared(snapshot, wanted)
        return snapshot

    async def preview(self, messages: Sequence[Message]) -> list[Outcome]:
        """What would come of the messages; nothing changes."""
        async with self.units.begin(is_retry=True) as unit:
            snapshot = await self._read(unit, messages)
        return decide_batch(self.service, snapshot, messages).outcomes

    async def _park(self, message: Message, error: Exception) -> Outcome:
        """Keep a record as it came; where its bytes can't be kept, its place. Raises what refuses that."""
        record, reason = message.record, reason_of(error)
        if isinstance(message.body, Unreadable):
            reason = f"{message.body.reason}; {reason}"
        place = "" if record is None else name_of_place(record)
        fields = tracing.log_fields(message.traceparent)
        log.error("message_not_handled", saga_id=message.key, place=place, reason=reason, **fields)
        try:
            outcome = await self._keep(message, reason, record)
        except OUTAGES:
            raise
        except Exception as refusal:
            if record is None:
                raise
            reason = f"{reason}; its bytes can't be kept: {reason_of(refusal)}"
            log.error("bytes_not_kept", place=place, reason=reason)  # noqa: TRY400 - one line
            outcome = await self._keep(message, reason, place_of(record))
        if record is not None and tracing.may_record(message.traceparent):
            process = spans.process(self.service.name, message, record)
            spans.fail(process, spans.error_type_of(error))
            process.end()
        return outcome

    async def _keep(self, message: Message, reason: str, record: Record | None) -> Outcome:
        """Duplicate where the inbox has a record already: nothing else of it is compared."""
        result = BatchResult(Snapshot(), outcomes=[Parked(reason)])
        result.park(self.service, message, reason, record)
        try:
            async with self.units.begin(is_retry=True) as unit:
                await unit.commit(result)
                self.bus.publish(Committed([message], result))
        except ConcurrentChangeError:
            if message.letter_id:
                raise
            return Duplicate()
        return Parked(reason)


async def in_halves(
    work: Callable[[Sequence[T]], Awaitable[list[R]]],
    items: Sequence[T],
    give_up: Callable[[T, Exception], Awaitable[R]],
) -> list[R]:
    """Work on all of some items or on none; one that makes it fail is found by halves, and given up.

    Raises OUTAGES, which are no item's fault, and what `give_up` raises.
    """
    try:
        return await work(items)
    except OUTAGES:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is: one of these items has led to it
        if len(items) == 1:
            return [await give_up(items[0], error)]
        half = len(items) // 2
        first = await in_halves(work, items[:half], give_up)
        return first + await in_halves(work, items[half:], give_up)
