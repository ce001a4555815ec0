"""Commands from HTTP: concurrent ones share a commit, and each is answered once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from chassis import clock
from chassis.card_numbers import field_with_card_number
from chassis.errors import ChassisError, TransientError
from chassis.handle import Handler
from chassis.message import Message, Outcome
from chassis.pace import Pace

log = structlog.get_logger()


class OverloadedError(ChassisError):
    """More commands wait than can be served soon."""


class CardNumberError(ChassisError):
    """A text of the command, or of what is published with it, holds a card number; names its field."""

    def __init__(self, field: str) -> None:
        super().__init__("it holds 13 to 19 digits that pass the check of card numbers")
        self.field = field


def refuse_card_numbers(value: Any) -> None:
    """Raises CardNumberError for a value with a text that may be in no topic and no table."""
    field = field_with_card_number(value)
    if field is not None:
        raise CardNumberError(field)


class InFlightError(ChassisError):
    """A request with this idempotency key is being handled."""


@dataclass
class Commands:
    """A bounded queue in front of the database; one transaction at a time takes all that wait."""

    handler: Handler
    batch: int = 200
    waiting_max: int = 2000
    tries_max: int = 5
    poll_s: float = 0.2
    woken_by: tuple[asyncio.Event, ...] = ()
    pace: Pace = field(default_factory=Pace)
    _waiting: list[tuple[Message, asyncio.Future[Outcome]]] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _in_flight: set[tuple[str, str]] = field(default_factory=set)

    async def execute(self, message: Message) -> Outcome:
        """Decide on one command.

        Raises CardNumberError, OverloadedError, InFlightError, or TransientError when the store is
        away.
        """
        refuse_card_numbers((message.body, message.companions))  # it is published, and kept
        if len(self._waiting) >= self.waiting_max:
            raise OverloadedError("too many requests wait")
        claim = (message.claim.scope, message.claim.key) if message.claim else None
        if claim in self._in_flight:
            raise InFlightError("the same request is being handled")
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if claim:
            self._in_flight.add(claim)
            future.add_done_callback(lambda _: self._in_flight.discard(claim))
        self._waiting.append((message, future))
        self._arrived.set()
        return await asyncio.shield(future)

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set() or self._waiting:
            if not self._waiting:
                self._arrived.clear()
                await clock.wait_for(self._arrived, self.poll_s)
                continue
            taken, self._waiting = self._waiting[: self.batch], self._waiting[self.batch :]
            await self._commit(taken)
            await self.pace.handled(len(taken))

    async def _commit(self, taken: Sequence[tuple[Message, asyncio.Future[Outcome]]]) -> None:
        for tries in range(1, self.tries_max + 1):
            try:
                outcomes = await self.handler.handle([message for message, _ in taken])
            except TransientError as error:
                log.warning("commands_retried", error=str(error), tries=tries)
                if tries == self.tries_max:
                    _settle(taken, [error] * len(taken))
                    return
                await clock.wait(clock.backoff_s(tries, base_s=0.02, max_s=0.5))
            except Exception as error:
                log.exception("commands_failed")
                _settle(taken, [error] * len(taken))
                return
            else:
                for event in self.woken_by:
                    event.set()
                _settle(taken, outcomes)
                return


def _settle(
    taken: Sequence[tuple[Message, asyncio.Future[Outcome]]], results: Sequence[Outcome | Exception]
) -> None:
    for (_, future), result in zip(taken, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
