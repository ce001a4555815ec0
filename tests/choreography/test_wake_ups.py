"""A service is woken by what it acts on: of the records that its topics bring, most lead to something."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

import pytest

from chassis.topic_layout import TopicLayout
from tests.choreography.world import (
    CANCEL_NOW,
    DISPATCH_NOW,
    SERVICES,
    Command,
    Deliver,
    Finish,
    World,
    WorldOutcome,
    a_world,
)


@dataclass(frozen=True)
class Story:
    """How it begins, what is done each time when it has come to rest, and what providers answer."""

    begin: World
    then: tuple[Command, ...] = ()
    outcome: WorldOutcome = "success"


@dataclass(frozen=True)
class WakeUps:
    """Records that services were given, by service, and those of them on which they acted."""

    given: Counter[str]
    useful: Counter[str]

    @property
    def share(self) -> float:
        return self.useful.total() / self.given.total()


STORIES: Final = {
    "success": Story(a_world()),
    "dispatched": Story(a_world(), (DISPATCH_NOW,)),
    "declined": Story(a_world(), outcome="decline"),
    "the carrier refuses": Story(a_world(), outcome="carrier refuses"),
    "undeliverable": Story(a_world(country="AQ")),
    "out of stock": Story(a_world(stock=1)),
    "suspended": Story(a_world(suspended=True)),
    "cancelled at once": Story(a_world().after(CANCEL_NOW)),
    "cancelled when confirmed": Story(a_world(), (CANCEL_NOW,)),
    "cancelled too late": Story(a_world(), (DISPATCH_NOW, CANCEL_NOW)),
}


def wake_ups(story: Story, layout: TopicLayout) -> WakeUps:
    world, useful = _at_rest(story.begin, story.outcome)
    for command in story.then:
        world, more = _at_rest(world.after(command), story.outcome)
        useful += more
    return WakeUps(_given(world, layout), useful)


def _at_rest(world: World, outcome: WorldOutcome) -> tuple[World, Counter[str]]:
    """And by service, the deliveries that led to an event, an effect or a timer."""
    acted: Counter[str] = Counter()
    while moves := world.moves():
        move, before = moves[0], world
        world = world.after(replace(move, outcome=outcome) if isinstance(move, Finish) else move)
        if isinstance(move, Deliver) and _what_it_did(before) != _what_it_did(world):
            acted[move.service] += 1
    return world, acted


def _what_it_did(world: World) -> tuple[int, object, object]:
    return len(world.published), world.effects, world.timers


def _given(world: World, layout: TopicLayout) -> Counter[str]:
    """An event wakes whoever subscribes to its topic, whether or not it acts on such events."""
    services = [replace(service, layout=layout) for service in SERVICES.values()]
    owners = {event: service for service in services for event in service.publishes}
    topics = [owners[type(event)].topic_of(type(event)) for event in world.published]
    return Counter(s.name for s in services for topic in topics if topic in s.topics)


@pytest.mark.parametrize("name", STORIES)
def test_at_least_three_of_four_wake_ups_act_on_what_they_bring(name: str) -> None:
    found = wake_ups(STORIES[name], TopicLayout.LANES)
    assert found.share >= 0.75, found


def test_in_a_good_order_every_wake_up_of_every_service_does() -> None:
    found = wake_ups(STORIES["success"], TopicLayout.LANES)
    assert found.given == found.useful
    assert found.given.keys() == SERVICES.keys()


def test_with_a_topic_for_each_service_it_was_not_one_of_three() -> None:
    """The same deliveries are of use, whatever the layout: only what is passed over is saved."""
    layouts = (TopicLayout.FORMER, TopicLayout.LANES)
    before, now = (wake_ups(STORIES["success"], layout) for layout in layouts)
    assert before.useful == now.useful
    assert before.share < 1 / 3
