"""One right on Kafka."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

READER: Final = "reader"
"""The principal of commands that only read the log."""


class AclResource(StrEnum):
    TOPIC = "topic"
    GROUP = "group"


class Operation(StrEnum):
    READ = "READ"
    WRITE = "WRITE"
    DESCRIBE = "DESCRIBE"
    DESCRIBE_CONFIGS = "DESCRIBE_CONFIGS"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """A principal may do this with one resource, from any host."""

    principal: str
    resource: AclResource
    name: str
    operation: Operation

    def __str__(self) -> str:
        return f"{self.principal}: {self.operation} {self.resource} {self.name}"
