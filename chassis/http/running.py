"""What the operator API needs of the process that it is part of."""

from typing import Protocol

from chassis.circuit import Circuit
from chassis.commands import Commands
from chassis.consumer import Consumer
from chassis.fast_paths import Core
from chassis.health import Condition
from chassis.relay import Relay
from chassis.service import Service
from chassis.settings import ServiceSettings
from chassis.store import Inspection


class RunningService(Protocol):
    """`chassis.runtime.Node`, which this package does not import: it stands above it."""

    service: Service
    settings: ServiceSettings
    operations: Inspection
    core: Core
    consumer: Consumer
    relay: Relay
    commands: Commands
    circuits: list[Circuit]

    async def conditions(self) -> tuple[Condition, ...]:
        """What fails now."""
