"""Which topics a service writes, reads and rebuilds itself from, in each layout."""

import asyncio
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final

import pytest

from chassis.events import Catalog, Listed
from chassis.kafka import Cluster, topics_of
from chassis.process import runtime
from chassis.process.settings import PostgresSettings
from chassis.service import Service
from chassis.topic_layout import TopicLayout
from shared_events.catalog import CATALOG, PRIVATE


@dataclass(frozen=True)
class Asked:
    parcel_id: str


@dataclass(frozen=True)
class Weighed:
    parcel_id: str


@dataclass(frozen=True)
class Noted:
    parcel_id: str


@dataclass(frozen=True)
class Addressed:
    parcel_id: str


def listed(name: str, event: type[Any], owner: str, lane: str, *former: str) -> Listed:
    return Listed(
        f"parcel.{name}.v1",
        event,
        owner,
        lane,
        subject="parcel_id",
        is_of_a_saga=True,
        former=former,
    )


PARCELS: Final = Catalog(
    (
        listed("asked", Asked, "desk", "forward", "desk.events"),
        listed("weighed", Weighed, "scale", "forward", "scale.all", "scale.events"),
        listed("noted", Noted, "scale", "facts", "scale.all", "scale.events"),
        listed("addressed", Addressed, "scale", "addresses"),
    ),
    {},
    frozenset({"scale.addresses"}),
)


async def project(_table: Any, _records: Any) -> None: ...


SCALE: Final = Service(
    name="scale",
    catalog=PARCELS,
    decide=lambda *_: None,  # type: ignore[arg-type]  # it is never asked
    evolve=lambda state, _event: state,
    initial=None,
    consumes=(Asked,),
    publishes=(Weighed, Noted, Addressed),
    projections={"desk.addresses": project},
)


def in_layout(layout: TopicLayout) -> Service:
    return replace(SCALE, layout=layout)


GOOD: Final = {
    "kafka_bootstrap": "h:9092",
    "database_url": "postgresql://r:p@h/d",
    "auth": "off",
}
LANES, MOVING, FORMER = map(in_layout, TopicLayout)


def test_the_catalog_knows_where_an_event_stands_and_stood() -> None:
    entry = PARCELS.by_event[Weighed]
    assert entry.topic == "scale.forward"
    assert entry.topics == ("scale.forward", "scale.all", "scale.events")
    assert PARCELS.by_event[Addressed].topics == ("scale.addresses",)


def test_lanes_are_what_is_kept_for_ever_and_the_log_is_those_and_the_former_topics() -> None:
    assert PARCELS.lanes_of("scale") == ("scale.facts", "scale.forward")
    assert PARCELS.log_of("scale") == ("scale.facts", "scale.forward", "scale.all", "scale.events")
    assert PARCELS.lanes_of("nobody") == PARCELS.log_of("nobody") == ()


@pytest.mark.parametrize("service", [LANES, MOVING])
def test_in_lanes_and_in_a_move_it_writes_lanes(service: Service) -> None:
    assert service.own_topics == {"scale.forward", "scale.facts", "scale.addresses"}
    assert service.topic_of(Weighed) == "scale.forward"


def test_in_the_former_layout_it_writes_the_newest_former_topic() -> None:
    """What never had one stays where it is: the layout is of what is kept for ever."""
    assert FORMER.own_topics == {"scale.events", "scale.addresses"}
    assert FORMER.topic_of(Noted) == "scale.events"
    assert FORMER.topic_of(Addressed) == "scale.addresses"


def test_in_lanes_it_reads_those_alone_and_else_both() -> None:
    assert LANES.topics == ("desk.addresses", "desk.forward")
    assert MOVING.topics == FORMER.topics == ("desk.addresses", "desk.events", "desk.forward")


def test_what_it_leaves_unread_are_former_topics_with_events_that_it_acts_on() -> None:
    assert LANES.left_topics == {"desk.events"}
    assert MOVING.left_topics == FORMER.left_topics == set()
    assert {s.name for s in (LANES, MOVING, FORMER)} == {"scale"}
    assert LANES.read_topics == MOVING.read_topics == {"desk.forward", "desk.events"}


@pytest.mark.parametrize("service", [LANES, MOVING, FORMER])
def test_its_log_is_the_same_in_each_layout(service: Service) -> None:
    """It may have been in another before, and may be again."""
    assert service.log_topics == PARCELS.log_of("scale")


def test_it_makes_its_lanes_and_in_a_move_all_that_it_reads_and_writes() -> None:
    dead = "scale.dead-letters"
    assert {*topics_of(LANES)} == {"scale.forward", "scale.facts", "scale.addresses", dead}
    expected = {*topics_of(LANES), "desk.addresses", "desk.events", "desk.forward"}
    assert {*topics_of(MOVING)} == {*topics_of(FORMER)} == expected | {"scale.all", "scale.events"}
    kinds = {name: settings for name, (_, settings) in topics_of(FORMER).items()}
    assert kinds["scale.addresses"] != kinds["scale.events"] == kinds["scale.forward"]


@pytest.mark.parametrize("layout", TopicLayout)
def test_the_setting_names_a_layout(layout: TopicLayout) -> None:
    settings = PostgresSettings.model_validate({**GOOD, "topic_layout": layout.value})
    assert settings.topic_layout is layout


def test_without_the_setting_it_is_lanes() -> None:
    assert PostgresSettings.model_fields["topic_layout"].default is TopicLayout.LANES
    assert SCALE.layout is TopicLayout.LANES


@dataclass
class StubKafka:
    """The topics that there are, and by topic how many records the service has not read."""

    topics: set[str]
    waiting: dict[str, int]
    made: set[str] = field(default_factory=set)

    async def ensure_topics(self, _at: str, topics: dict[str, Any], check: Any) -> set[str]:
        there = set(self.topics)
        if missing := set(topics) - there:
            await check(missing, there)
        self.made = missing
        self.topics |= missing
        return there

    async def unread(self, _at: str, _group: str, topics: list[str]) -> dict[str, int]:
        return {topic: self.waiting[topic] for topic in topics if topic in self.waiting}

    async def await_topics(self, *_: Any) -> None: ...


async def prepared(
    service: Service, kafka: StubKafka, monkeypatch: pytest.MonkeyPatch, *, keeps: bool = True
) -> str:
    """What the start of a service waits for, after one try; "" if it goes on."""
    stopping = asyncio.Event()

    async def keeps_any() -> bool:
        return keeps

    async def wait_for(event: asyncio.Event, _seconds: float) -> None:
        event.set()

    for name in ("ensure_topics", "unread", "await_topics"):
        monkeypatch.setattr(runtime, name, getattr(kafka, name))
    monkeypatch.setattr("chassis.clock.wait_for", wait_for)
    node: Any = SimpleNamespace(
        service=service,
        settings=SimpleNamespace(kafka=Cluster("h:9092")),
        store=SimpleNamespace(keeps_any=keeps_any),
        consumer=SimpleNamespace(away="nothing was tried"),
        stopping=stopping,
    )
    await runtime.prepare_topics(node)
    return str(node.consumer.away)


BEFORE: Final = {"scale.events", "scale.addresses", "scale.dead-letters", "desk.events"}


async def test_a_log_in_former_topics_is_no_lost_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lanes are missing, as it has not moved yet: it says how, and makes none beside it."""
    kafka = StubKafka(set(BEFORE), {})
    why = await prepared(LANES, kafka, monkeypatch)
    assert "FormerLayoutError" in why
    assert "its events are in scale.events: start it with SCALE_TOPIC_LAYOUT=former first" in why
    assert kafka.made == set()


async def test_a_log_that_is_nowhere_is_lost_in_any_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in (LANES, MOVING, FORMER):
        kafka = StubKafka({"desk.events", "desk.forward"}, {})
        assert "LogLostError" in await prepared(service, kafka, monkeypatch)
        assert kafka.made == set()
        assert await prepared(service, kafka, monkeypatch, keeps=False) == ""


async def test_a_move_step_by_step_makes_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = StubKafka(set(BEFORE), {"desk.events": 3})
    assert await prepared(FORMER, kafka, monkeypatch) == ""
    assert kafka.made == {"scale.forward", "scale.facts", "scale.all", *SCALE.topics}
    assert await prepared(MOVING, kafka, monkeypatch) == ""
    why = await prepared(LANES, kafka, monkeypatch)
    assert "3 of desk.events are not read: start it with SCALE_TOPIC_LAYOUT=moving first" in why
    kafka.waiting = {}
    assert await prepared(LANES, kafka, monkeypatch) == ""


def test_each_owner_of_the_first_releases_has_a_former_topic_and_nothing_else_has() -> None:
    former = {(entry.owner, *entry.former) for entry in CATALOG.entries if entry.former}
    assert former == {(owner, f"{owner}.events") for owner, _ in former}
    private = {entry for entry in CATALOG.entries if entry.topic in CATALOG.compacted}
    assert all(entry.former == () for entry in private)
    assert {entry.event for entry in private} == set(PRIVATE)
