"""What the operator API needs of the process that it is part of."""

from datetime import datetime
from typing import Protocol

from chassis.commands import Commands
from chassis.effects import Circuit
from chassis.health import Condition
from chassis.http.gate import Gate
from chassis.kafka import Consumer
from chassis.outbox import Relay
from chassis.process.settings import ServiceSettings
from chassis.service import Service
from chassis.store import Inspection


class RunningService(Protocol):
    """`chassis.process.runtime.Node`, which this package does not import: it stands above it."""

    service: Service
    settings: ServiceSettings
    operations: Inspection
    consumer: Consumer
    relay: Relay
    commands: Commands
    circuits: list[Circuit]
    gate: Gate
    started_at: datetime

    async def conditions(self) -> tuple[Condition, ...]:
        """What fails now."""
