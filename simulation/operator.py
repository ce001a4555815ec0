"""The person who sees to dead letters, through the same port as the command line."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chassis import clock
from chassis.errors import TransientError
from chassis.handle import Handler
from chassis.kafka import message_of
from chassis.message import Parked
from chassis.redrive import redrive
from shared_events.catalog import CATALOG
from simulation.hostile import is_rubbish
from simulation.nodes import SERVICES
from simulation.process import Process

if TYPE_CHECKING:
    from simulation.system import SimulatedSystem

EVERY_S = 2.0


@dataclass
class Operator:
    """Discards what is no event, redrives what waited behind it, and has refused rows tried again."""

    system: "SimulatedSystem"

    async def run(self) -> None:
        while True:
            await clock.wait(EVERY_S)
            for service in SERVICES:
                process = self.system.reachable(service)
                if process is None:
                    continue
                seen = self.system.loop.create_task(self._see_to(process), context=process.context)
                await asyncio.wait([seen], timeout=5)

    async def _see_to(self, process: Process) -> None:
        node = process.node
        operations = node.operations
        try:
            for key in await operations.parked_keys():
                await self._mend(node.core.handler, operations, key)
            for row in await operations.refused(100):
                await operations.release(row.id, "operator", "it is taken now")
        except TransientError as error:
            self.system.report(f"operator: {process.name} is away: {error}")

    async def _mend(self, handler: Handler, operations: Any, key: str) -> None:
        for letter in await operations.dead_letters(key):
            is_none = isinstance(message_of(CATALOG, letter.record), Parked)
            if is_none or is_rubbish(letter.record):
                await operations.discard(key, "operator", "rubbish", letter.id)
        await redrive(handler, operations, key, "operator", note="the rubbish is gone")
