"""The lanes follow from who acts on what, and the pages that name topics say the same."""

from collections import Counter
from typing import Any, Final

import pytest
import yaml

from chassis.events import dead_letters_of
from guarantees.declared import readers_of, service_of
from guarantees.services import BY_NAME
from saga_cli.archive import copying, guard
from saga_cli.log.reader import LANES, TOPICS
from shared_events.catalog import CATALOG
from shared_events.lanes import FACTS, FORMER
from shared_events.lanes import LANES as BY_EVENT
from tests.asyncapi import asyncapi_page
from tests.docs_pages import events_page
from tests.lanes_page import lane_of, lanes

CHAIN: Final = tuple(BY_NAME)
FIRST, SECOND, THIRD, *_, LAST = CHAIN
KEPT: Final = [entry for entry in CATALOG.entries if entry.topic not in CATALOG.compacted]


@pytest.mark.parametrize(
    ("owner", "readers", "lane"),
    [
        (FIRST, set(), "facts"),
        (FIRST, {SECOND}, "forward"),
        (LAST, {FIRST}, "forward"),
        (SECOND, {FIRST}, "backward"),
        (LAST, {CHAIN[-2]}, "backward"),
        (FIRST, {*CHAIN} - {FIRST}, "cancellation"),
        (SECOND, {*CHAIN} - {SECOND}, "cancellation"),
        (FIRST, {SECOND, THIRD}, "outcome"),
        (FIRST, {THIRD}, "outcome"),
        (SECOND, {FIRST, THIRD}, "outcome"),
    ],
)
def test_a_lane_follows_from_who_acts_on_an_event(owner: str, readers: set[str], lane: str) -> None:
    assert lane_of(owner, readers, CHAIN) == lane


def test_what_is_written_is_what_follows() -> None:
    assert {name: lane for name, lane in lanes() if lane != FACTS} == BY_EVENT
    assert {entry.name: entry.lane for entry in KEPT} == dict(lanes())


@pytest.mark.parametrize("name", CHAIN)
def test_no_service_reads_a_topic_of_which_it_passes_over_an_event(name: str) -> None:
    service = service_of(name)
    consumed = {CATALOG.by_event[event].wire_type for event in service.consumes}
    read = {entry.wire_type for entry in KEPT if entry.topic in service.topics}
    assert read == consumed


def test_nobody_reads_facts_but_their_owner() -> None:
    for name in CHAIN:
        assert readers_of(f"{name}.{FACTS}") == {name}


def test_there_are_few_topics() -> None:
    """A fetch names each of its partitions: a topic for each event would be 37."""
    assert len(LANES) == len({*LANES}) == 17
    assert {*TOPICS} == {*LANES, *(topic for topics in FORMER.values() for topic in topics)}
    subscribed = Counter({name: len(service_of(name).topics) for name in CHAIN})
    assert max(subscribed.values()) <= 6


def test_what_is_copied_and_guarded_is_every_topic_that_holds_events() -> None:
    dead = {dead_letters_of(name) for name in CHAIN}
    assert {*copying.TOPICS} == {*TOPICS} | dead
    assert {*TOPICS} == guard.EVENTS
    assert CATALOG.compacted.isdisjoint({*copying.TOPICS, *guard.EVENTS})
    assert set(guard.REBUILT_FROM) == {*CATALOG.log_of("loyalty")}


def test_the_events_page_says_of_each_event_in_which_topic_it_stands() -> None:
    page = events_page()
    for entry in CATALOG.entries:
        (section,) = (p for p in page.split("### ") if p.startswith(f"`{entry.wire_type}`\n"))
        assert f"- topic `{entry.topic}`, key" in section
        assert all(f"`{topic}`" in page for topic in entry.former)


def test_the_document_has_a_channel_for_each_lane_and_none_for_a_topic_of_before() -> None:
    channels: dict[str, Any] = yaml.safe_load(asyncapi_page())["channels"]
    dead = {dead_letters_of(name) for name in CHAIN}
    assert channels.keys() == {*LANES, *CATALOG.compacted} | dead
    for topic in LANES:
        expected = {entry.wire_type for entry in KEPT if entry.topic == topic}
        assert channels[topic]["messages"].keys() == expected
        owner = topic.partition(".")[0]
        assert channels[topic]["description"].startswith(f"Written by {owner} alone.")


def test_the_document_says_that_topics_of_before_are_read_still() -> None:
    description = yaml.safe_load(asyncapi_page())["info"]["description"]
    assert all(topic in description for topics in FORMER.values() for topic in topics)
