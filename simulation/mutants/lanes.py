"""Bugs in what keeps an order's events in their order over several topics, and in a move to them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import chassis.kafka.records
import chassis.outbox.sender
import chassis.process.runtime
import chassis.redis.rebuild
from chassis.events import Envelope
from chassis.outbox.relay import Relay
from chassis.replay import InTurn
from simulation.machine import PatchedAttribute
from simulation.mutants.mutant import bug


@bug(
    "an event is sent though one of its order before it, in another lane, has not arrived",
    "G7",
    at=(chassis.outbox.sender, "waves"),
    faults=("broker-away", "ack-lost", "row-refused"),
    seed=8,
)
def all_lanes_at_once(_original: Any, rows: Sequence[Any], _ordered: Any) -> list[list[Any]]:
    return [list(rows)]


@bug(
    "the other lanes go on while one can't be written",
    "G7",
    at=(Relay, "_pending"),
    faults=("topic-shut",),
    seed=3,
)
async def each_lane_alone(pending: Any, self: Any, wanted: int) -> Any:
    together, self.together = self.together, frozenset()
    try:
        return await pending(self, wanted)
    finally:
        self.together = together


class AsTheyCome(InTurn):
    """No event waits for its turn."""

    def take(self, published: Iterable[Envelope]) -> Iterator[Envelope]:
        yield from published


@bug(
    "a state is built anew from one lane after the other",
    "G7",
    "G8",
    faults=("redis-lost",),
    seed=9,
)
def folded_as_read() -> Sequence[PatchedAttribute]:
    return [(chassis.redis.rebuild, "InTurn", AsTheyCome)]


@bug(
    "who reads lanes alone starts though topics of before are not read",
    "G1",
    at=(chassis.process.runtime, "_refuse_unread"),
    faults=("slow-service", "reorder", "service-stopped"),
    topics="moves",
    seed=2,
)
async def left_with_unread_events(*_: Any) -> None:
    """What waits there waits for ever."""
