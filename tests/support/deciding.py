"""A service without a store: each message is decided on what came of those before it."""

from dataclasses import dataclass, field
from typing import Any

from chassis.decide import BatchResult, Snapshot, decide_batch
from chassis.message import Message, VersionedState
from chassis.service import Service


@dataclass
class Decider:
    """There is no inbox: a message that comes again is decided again."""

    service: Service
    own: dict[str, VersionedState] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)

    def decide(self, *messages: Message) -> BatchResult:
        own = {key: VersionedState(row.state, row.version) for key, row in self.own.items()}
        read = Snapshot(own=own, shared=self.shared, shared_keys=frozenset(self.shared))
        result = decide_batch(self.service, read, messages)
        self.own, self.shared = own | result.own, result.shared
        return result
