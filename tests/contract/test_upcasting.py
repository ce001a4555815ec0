"""A log of three versions of one event: a service that knows the newest understands all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from chassis.decide import Snapshot, cause_of, decide_batch
from chassis.decision import Decision, publish
from chassis.events import Catalog, IncompleteError, MalformedError, event_id
from chassis.handle import Handler
from chassis.kafka.records import is_consumed
from chassis.message import Decided, Duplicate, Message, Parked, Record
from chassis.replay import Folded, fold
from chassis.service import Service
from shared_events.catalog import CATALOG, CatalogRow, listed
from shared_events.codec import decode, encode
from simulation.database import Database
from simulation.memory_store import MemoryStore
from tests.support.records import message_of
from tests.support.vocabulary import known

VERSION_1: Final = "parcel.weighed.v1"
AT: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelWeighed:
    """Its third version: there may be several scales, where there was one, and grams, not kilograms."""

    order_id: str
    grams: int
    scales: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelLabelled:
    order_id: str
    grams: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelLost:
    """An event that nobody here reads."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Labelled:
    grams: int = 0


def in_grams(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in fields if name != "kilograms"} | {
        "grams": round(fields["kilograms"] * 1000)
    }


def on_scales(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in fields if name != "scale"} | {
        "scales": [fields["scale"]]
    }


def decided(state: Labelled, event: ParcelWeighed, _: datetime) -> Decision:
    return publish(ParcelLabelled(order_id=event.order_id, grams=event.grams))


def evolved(_: Labelled, event: ParcelLabelled) -> Labelled:
    return Labelled(event.grams)


UPCASTERS: Final = {"parcel.weighed.v1": in_grams, "parcel.weighed.v2": on_scales}
ROWS: Final[tuple[CatalogRow, ...]] = (
    ("parcel.weighed.v3", ParcelWeighed, "shipping"),
    ("parcel.labelled.v1", ParcelLabelled, "payment"),
    ("parcel.lost.v1", ParcelLost, "shipping"),
)
VALUES: Final[Mapping[str, dict[str, Any]]] = {
    "parcel.weighed.v1": {"order_id": "o-1", "kilograms": 1.25, "scale": "hall"},
    "parcel.weighed.v2": {"order_id": "o-1", "grams": 1250, "scale": "hall"},
    "parcel.weighed.v3": {"order_id": "o-1", "grams": 1250, "scales": ["hall"]},
}
WEIGHED: Final = ParcelWeighed(order_id="o-1", grams=1250, scales=("hall",))
LABELS: Final = Service(
    name="payment",
    catalog=CATALOG,
    decide=decided,
    evolve=evolved,
    initial=Labelled(),
    consumes=(ParcelWeighed,),
    publishes=(ParcelLabelled,),
)
each_version = pytest.mark.parametrize("wire_type", VALUES)


@pytest.fixture(autouse=True)
def parcels(monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, Catalog(listed(ROWS), UPCASTERS))


def record(wire_type: str, **fields: Any) -> Record:
    """As a release of that time has written it."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": str(event_id("o-1", VERSION_1, 1)),
        "ce_type": wire_type,
        "ce_source": "/shipping",
        "ce_subject": "o-1",
        "ce_time": AT.isoformat(),
        "ce_sequence": "1",
        "ce_sagaid": "o-1",
        "ce_causationid": "cause",
    }
    value = to_json({**VALUES.get(wire_type, {}), **fields})
    wire = tuple((name, text.encode()) for name, text in headers.items())
    return Record("shipping.events", 0, 7, b"o-1", value, wire)


def message(wire_type: str) -> Message:
    found = message_of(record(wire_type))
    assert isinstance(found, Message)
    return found


@each_version
def test_every_version_is_read_as_todays_event_and_keeps_its_id_and_type(wire_type: str) -> None:
    found = record(wire_type)
    envelope = decode(found.value, found.headers)
    assert envelope.event == WEIGHED
    assert (str(envelope.id), envelope.type) == (str(event_id("o-1", VERSION_1, 1)), wire_type)
    assert (envelope.sequence, envelope.causation_id) == (1, "cause")


@each_version
def test_a_service_that_knows_the_newest_takes_every_version(wire_type: str) -> None:
    found = message(wire_type)
    assert is_consumed(LABELS, record(wire_type))
    assert wire_type in LABELS.wire_types
    assert cause_of(CATALOG, found) == "parcel.weighed.v3"
    (row,) = decide_batch(LABELS, Snapshot(), [found]).outbox
    labelled = decode(row.value, row.headers)
    assert labelled.event == ParcelLabelled(order_id="o-1", grams=1250)
    assert labelled.causation_id == str(event_id("o-1", VERSION_1, 1))


async def test_one_decision_in_two_versions_is_taken_once() -> None:
    """As when a publisher that was set back decides again after it was upgraded."""
    handler = Handler(LABELS, MemoryStore(LABELS, Database()))
    first = await handler.handle([message("parcel.weighed.v1")])
    again = await handler.handle([message("parcel.weighed.v3")])
    assert [type(outcome) for outcome in (*first, *again)] == [Decided, Duplicate]


def test_an_event_has_the_same_id_in_whatever_version_it_is_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shipping = replace(LABELS, decide=lambda *_: publish(WEIGHED), evolve=lambda state, _: state)
    order = message("parcel.weighed.v1")
    (new,) = decide_batch(shipping, Snapshot(), [order]).outbox
    known(monkeypatch, Catalog(listed((("parcel.weighed.v1", ParcelWeighed, "shipping"),)), {}))
    (old,) = decide_batch(shipping, Snapshot(), [order]).outbox
    types = [dict(row.headers)["ce_type"] for row in (old, new)]
    assert types == [b"parcel.weighed.v1", b"parcel.weighed.v3"]
    assert dict(old.headers)["ce_id"] == dict(new.headers)["ce_id"]


def test_a_log_of_all_versions_is_folded() -> None:
    weighing = replace(
        LABELS, publishes=(ParcelWeighed,), evolve=lambda _, event: Labelled(event.grams)
    )
    records = (record("parcel.weighed.v1"), record("parcel.weighed.v2", grams=7))
    first, second = (decode(r.value, r.headers) for r in records)
    folded = fold(weighing, [first, replace(second, id=UUID(int=2), sequence=2)], Folded())
    assert (folded.own["o-1"].state, folded.own["o-1"].version) == (Labelled(7), 2)


def test_a_version_that_is_not_known_yet_is_kept_as_a_dead_letter_by_those_who_read_it() -> None:
    newer = record("parcel.weighed.v4")
    assert is_consumed(LABELS, newer)
    assert message_of(newer) == Parked("malformed: unknown version 'parcel.weighed.v4'")


@pytest.mark.parametrize("wire_type", ["parcel.lost.v1", "parcel.lost.v2"])
def test_what_a_service_does_not_read_it_passes_over_in_every_version(wire_type: str) -> None:
    assert not is_consumed(LABELS, record(wire_type))


@pytest.mark.parametrize("wire_type", ["parcel.found.v1", "parcel.weighed", "v1", ""])
def test_a_type_that_nobody_knows_is_kept_as_a_dead_letter(wire_type: str) -> None:
    assert is_consumed(LABELS, record(wire_type))
    outcome = message_of(record(wire_type))
    assert isinstance(outcome, Parked)
    expected = "unknown type" if wire_type else "attribute 'ce_type' is missing"
    assert outcome.reason.startswith(f"malformed: {expected}")


@pytest.mark.parametrize(
    "value", [b"{}", b"[]", b"null", b'"4111"', b'{"kilograms": "4111", "scale": 1}', b"{", b"\xff"]
)
def test_an_old_value_that_makes_no_sense_is_malformed_and_not_repeated(value: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        decode(value, record("parcel.weighed.v1").headers)
    assert "4111" not in str(caught.value)


def test_what_was_read_from_an_older_version_is_not_published_as_such() -> None:
    found = record("parcel.weighed.v2")
    with pytest.raises(IncompleteError, match=r"parcel.weighed.v2 is published as .*v3"):
        encode(decode(found.value, found.headers))


def test_a_version_without_a_way_to_read_it_is_refused() -> None:
    with pytest.raises(ValueError, match=r"v3 has no upcaster from parcel.weighed.v2$"):
        Catalog(listed(ROWS), {VERSION_1: in_grams})


def test_an_upcaster_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no newer version than parcel.lost.v1"):
        Catalog(listed(ROWS), {**UPCASTERS, "parcel.lost.v1": in_grams})


@given(
    st.integers(0, 10**6),
    st.text(),
    st.dictionaries(st.text(min_size=1), st.integers(), max_size=3),
)
def test_an_upcast_in_one_go_is_an_upcast_in_steps(
    grams: int, scale: str, more: dict[str, int]
) -> None:
    """And upcasters keep what they do not know, and change nothing that they are given."""
    own = {"order_id": "o-1", "kilograms": grams / 1000, "scale": scale}
    old, kept = {**more, **own}, {**more, **own}
    entry = CATALOG.by_type[VERSION_1]
    steps = on_scales(in_grams(old))
    assert entry.read(VERSION_1, to_json(old)) == entry.read("parcel.weighed.v3", to_json(steps))
    assert entry.read("parcel.weighed.v2", to_json(in_grams(old))).grams == grams
    assert old == kept
    unknown = more.keys() - {*own, "grams", "scales"}
    assert {name: steps[name] for name in unknown} == {name: more[name] for name in unknown}
