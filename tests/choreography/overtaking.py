"""Which events of one owner a service reads in another order than they were published, and its answers."""

from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import Any, Final, NamedTuple

from chassis.decision import Refusal
from shared_events.catalog import CATALOG
from tests.choreography.checker import Chances, Found, Orders, explore
from tests.choreography.world import SERVICES, World, a_world, named

CHANCES: Final[Chances] = ("cancel", "dispatch", "deadline")


class Overtaking(NamedTuple):
    """A service that has read `later` meets `earlier` in a state, and answers."""

    service: str
    later: str
    earlier: str
    state: str
    answer: str


class Pair(NamedTuple):
    """Events of one owner that a service reads from two topics."""

    service: str
    one: str
    other: str


def racing() -> Iterator[Pair]:
    """As the catalog and the services have them."""
    for name, service in SERVICES.items():
        consumed = [entry for entry in CATALOG.entries if entry.event in service.consumes]
        for one, other in combinations(consumed, 2):
            if one.owner == other.owner and one.topic != other.topic:
                yield Pair(name, one.name, other.name)


def overtakings(world: World) -> Iterator[Overtaking]:
    for (service, topic), queue in world.queues.items():
        for event in queue[world.cursors[service, topic] :][:1]:
            for other in read_before(world, service, event):
                yield Overtaking(
                    service,
                    CATALOG.entry_of(other).name,
                    CATALOG.entry_of(event).name,
                    type(world.own[service]).__name__,
                    answer_of(world, service, event),
                )


def read_before(world: World, service: str, event: Any) -> Iterator[Any]:
    """What its owner published later, and the service has read."""
    owner, place = CATALOG.entry_of(event).owner, world.published.index(event)
    for other in world.published[place + 1 :]:
        if CATALOG.entry_of(other).owner == owner and named(other).identity in world.inbox[service]:
            yield other


def answer_of(world: World, service: str, event: Any) -> str:
    decision = world.decide(SERVICES[service], event)
    assert not isinstance(decision, Refusal), "an event is no command"
    published = ", ".join(f"`{CATALOG.entry_of(made).name}`" for made in decision.events)
    return published or decision.quiet or f"impossible: {decision.impossible}"


@cache
def worlds() -> tuple[World, ...]:
    """Every interleaving of an order that is placed, and perhaps cancelled, too late or sent."""
    orders = Orders("success", Found())
    explore(orders, a_world(), (CHANCES,), 10)
    return tuple(world for world, _ in orders.met)


@cache
def found() -> frozenset[Overtaking]:
    return frozenset(met for world in worlds() for met in overtakings(world))
