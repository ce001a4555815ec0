"""A month later an inbox has forgotten an order, and what it had heard of it comes once more."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from types import MappingProxyType
from typing import Any, Final

import pytest

from chassis.decision import Decision
from chassis.service import Service
from guarantees.protocol import STEPS
from payment_svc.messages import Refund
from tests.choreography.guarantees import LAST
from tests.choreography.world import (
    CANCEL_NOW,
    DISPATCH_NOW,
    SERVICES,
    Finish,
    Fire,
    Move,
    TimePasses,
    World,
    WorldOutcome,
    a_world,
    outcome_of,
)

STARTS: Final[Mapping[str, tuple[World, WorldOutcome]]] = MappingProxyType(
    {
        "all ok": (a_world(), "success"),
        "card declined": (a_world(), "decline"),
        "carrier refuses": (a_world(), "carrier refuses"),
        "undeliverable": (a_world(country="AQ"), "success"),
        "suspended": (a_world(suspended=True), "success"),
        "out of stock": (a_world(stock=1), "success"),
    }
)
OUTSIDE: Final[tuple[tuple[Move, ...], ...]] = (
    (),
    (CANCEL_NOW,),
    (TimePasses(),),
    (DISPATCH_NOW,),
    (DISPATCH_NOW, CANCEL_NOW),
    (CANCEL_NOW, DISPATCH_NOW),
)
Ending = tuple[World, tuple[Fire, ...]]


@dataclass(frozen=True, slots=True)
class Course:
    """How a story goes on by itself: which move is next, and whether a bank declines the first refund."""

    outcome: WorldOutcome
    pick: int
    bank_declines: bool

    def steps(self, world: World) -> Iterator[World]:
        """Every moment, up to where nothing is left to do."""
        yield world
        while moves := world.moves():
            world = world.after(self._answered(moves[self.pick]))
            yield world

    def end(self, world: World) -> World:
        return list(self.steps(world))[-1]

    def _answered(self, move: Move) -> Move:
        if not isinstance(move, Finish):
            return move
        is_first_refund = isinstance(move.effect, Refund) and move.effect.attempt == 1
        declines = self.bank_declines and is_first_refund
        return replace(move, outcome="bank declines" if declines else self.outcome)


@cache
def ends(story: str) -> tuple[Ending, ...]:
    """Something comes from outside at each moment; each end is told before and after its timers."""
    start, outcome = STARTS[story]
    courses = [Course(outcome, pick, declines) for pick in (0, -1) for declines in (False, True)]
    moments = [(course, moment) for course in courses for moment in course.steps(start)]
    found: list[Ending] = []
    for (course, world), happens in product(moments, OUTSIDE):
        for move in happens:
            world = course.end(world.after(move))  # noqa: PLW2901 - a story goes on
        world = course.end(world)  # noqa: PLW2901
        fired: tuple[Fire, ...] = ()
        found.append((world, fired))
        while due := world.due():
            fired = (*fired, due[0])
            world = course.end(world.after(due[0]))  # noqa: PLW2901
            found.append((world, fired))
    return tuple(found)


def consumptions(world: World, fired: tuple[Fire, ...]) -> Iterator[tuple[Service, Any]]:
    """What a service has had in its inbox: events, outcomes of calls, timers that were due."""
    yield from world.delivered_before()
    for (service, effect), outcome in world.answers.items():
        yield SERVICES[service], outcome_of(effect, outcome)
    for fire in fired:
        yield SERVICES[fire.service], fire.message


@pytest.mark.parametrize("story", STARTS)
def test_what_was_heard_of_a_settled_order_decides_nothing_without_an_inbox(story: str) -> None:
    for world, fired in ends(story):
        for service, message in consumptions(world, fired):
            answer = world._replace(is_late=True).decide(service, message)
            assert isinstance(answer, Decision)
            assert answer == Decision(quiet=answer.quiet or "no reason was given"), (
                f"{type(world.own[service.name]).__name__} x {message}"
            )


def test_the_stories_come_to_every_last_state_and_hear_all_that_there_is_to_hear() -> None:
    result = [end for story in STARTS for end in ends(story)]
    states = {(n, type(state).__name__) for world, _ in result for n, state in world.own.items()}
    assert states >= LAST
    assert all(any((s.service, state) in states for state in s.confirmed) for s in STEPS)
    consumed = {(s.name, type(message)) for end in result for s, message in consumptions(*end)}
    declared = {(s.name, event) for s in SERVICES.values() for event in s.consumes}
    assert declared - consumed == set()
