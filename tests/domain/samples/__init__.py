"""States of each service, by the facts that lead to them, and the messages that they meet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chassis.decision import Decision, Refusal
from chassis.service import Service
from shared_events.catalog import CATALOG
from tests.domain.support import folded


@dataclass(frozen=True)
class Samples:
    """`histories` and `messages` are named: the type, then after ", " what sets it apart.

    `states` and `inputs` are the unions of which each member needs at least one sample.
    """

    service: Service
    states: Any
    inputs: Any
    histories: Mapping[str, tuple[Any, ...]]
    messages: Mapping[str, Any]

    def state(self, name: str) -> Any:
        return folded(self.service, self.histories[name])

    def own_state(self, name: str) -> Any:
        """The order's part of a state, without the rows that orders share."""
        return self.service.split(self.state(name))[0]

    def decide(self, state: str, message: str, at: Any) -> Decision | Refusal:
        return self.service.decide(self.state(state), self.messages[message], at)


def name_of(message: Any) -> str:
    """An event's wire type without its version, or the name of a command, an outcome or a timer."""
    entry = CATALOG.by_event.get(type(message))
    return entry.wire_type.rpartition(".")[0] if entry else type(message).__name__
