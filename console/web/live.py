"""What changes, as server-sent events: one reading of the database for all who look, none for nobody.

Each event's id is a position in the log as the console has read it. A browser that comes back says the last
one that it has (`Last-Event-ID`), and goes on from there. After a rebuild positions begin anew: whoever has
a later one is sent back to the newest that there is, and asks for all that is shown.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Final

import structlog
from fastapi.sse import format_sse_event
from pydantic_core import to_json

from chassis import clock
from chassis.errors import TransientError
from console.model import Changes
from console.queries import Queries

log = structlog.get_logger()
EVERY_S: Final = 0.5
LONGEST_S: Final = 600.0
"""Then a stream ends, and the browser asks again: as who may still look."""
QUIET_S: Final = 15.0
"""After so long without a change a comment is sent, by which a dead connection is noticed."""
RETRY_MS: Final = 2000
LATEST: Final = 2**63 - 1


@dataclass
class Hub:
    """Reads changes while somebody looks. `stopping` ends all streams."""

    queries: Queries
    stopping: asyncio.Event
    _waiting: set[asyncio.Event] = field(default_factory=set)
    _position: int = -1
    _task: asyncio.Task[None] | None = None

    async def stream(self, last_id: str) -> AsyncGenerator[bytes, None]:
        """Of one browser; raises TransientError where the database is away at the start."""
        position = int(last_id) if last_id.isdecimal() and int(last_id) <= LATEST else -1
        if position < 0:
            position = (await self.queries.standing()).position
        yield format_sse_event(data_str="{}", event="hello", id=str(position), retry=RETRY_MS)
        woken, until = asyncio.Event(), clock.monotonic() + LONGEST_S
        self._waiting.add(woken)
        self._begin(position)
        try:
            while not self.stopping.is_set() and clock.monotonic() < until:
                woken.clear()
                found = await self._changes(position)
                if found.position != position:
                    position = found.position
                    yield _event(found)
                elif not await clock.wait_for(woken, QUIET_S):
                    yield format_sse_event(comment="nothing has changed")
        finally:
            self._waiting.discard(woken)

    async def ended(self) -> None:
        """Wait until nobody looks any more, and nothing is read for them."""
        if self._task is not None:
            await self._task

    def _begin(self, position: int) -> None:
        if self._task is None or self._task.done():
            self._position = position
            self._task = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        """Ends when nobody looks any more."""
        while self._waiting and not self.stopping.is_set():
            found = await self._changes(self._position)
            if found.position != self._position:
                self._position = found.position
                self._wake()
            await clock.wait_for(self.stopping, EVERY_S)
        self._wake()

    def _wake(self) -> None:
        for woken in self._waiting:
            woken.set()

    async def _changes(self, position: int) -> Changes:
        try:
            return await self.queries.changes_since(position)
        except TransientError as error:
            log.warning("changes_not_read", error=str(error))
            return Changes(position)


def _event(found: Changes) -> bytes:
    """Which orders changed; all that are shown are asked for anew where some are left out."""
    orders = list(dict.fromkeys(change.order_id for change in found.changes))
    data = to_json({"orders": orders, "all": found.is_cut}).decode()
    return format_sse_event(data_str=data, event="changes", id=str(found.position))
