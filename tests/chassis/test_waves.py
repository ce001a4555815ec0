"""A key's rows in several topics: what Kafka has of them is always the first ones, whatever fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest
from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError

from chassis.kafka import Cluster
from chassis.message import OutboxRow
from chassis.outbox import sender as sender_module
from chassis.outbox.relay import Relay
from chassis.outbox.sender import Sender, waves
from chassis.store import Pending
from tests.support.producers import KeepingProducer
from tests.support.stopped_clock import StoppedClock

LANES: Final = frozenset({"x.forward", "x.facts"})


def rows(*names: str) -> list[tuple[str, OutboxRow]]:
    """Each is a lane and an id that begins with its key: "forward a1"."""
    split = (name.split() for name in names)
    return [(id_, OutboxRow(f"x.{lane}", id_[0], id_.encode(), [])) for lane, id_ in split]


def refusing(error: BaseException, *refused: str) -> Callable[[str, list[str]], Any]:
    """Whatever has one of these ids or topics in it."""
    return lambda topic, ids: error if {topic, *ids} & {*refused} else None


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> KeepingProducer:
    made = KeepingProducer()
    monkeypatch.setattr(sender_module, "make_producer", lambda *_: made)
    return made


def ids(some: Sequence[tuple[str, OutboxRow]]) -> list[str]:
    return [id_ for id_, _ in some]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), []),
        (("forward a1", "forward b1", "forward a2"), [["a1", "b1", "a2"]]),
        (("forward a1", "facts b1", "facts c1"), [["a1", "b1", "c1"]]),
        (("forward a1", "facts a2", "forward b1"), [["a1", "b1"], ["a2"]]),
        (("forward a1", "facts a2", "facts a3", "forward a4"), [["a1"], ["a2", "a3"], ["a4"]]),
        (("facts a1", "forward a2", "forward b1", "facts b2"), [["a1", "b1"], ["a2", "b2"]]),
    ],
)
def test_a_wave_has_each_key_in_one_topic(names: tuple[str, ...], expected: list[Any]) -> None:
    assert [ids(wave) for wave in waves(rows(*names))] == expected


def test_a_topic_that_is_no_part_of_the_log_waits_for_none_and_keeps_its_own_order() -> None:
    some = rows("forward a1", "details a2", "customers a3", "details a4", "facts a5")
    assert [ids(wave) for wave in waves(some, LANES)] == [["a1", "a2", "a3", "a4"], ["a5"]]
    assert len(waves(some)) == 5


def the_sender() -> Sender:
    return Sender(Cluster("nowhere"), "x-relay")


async def test_a_later_lane_waits_for_the_one_before(broker: KeepingProducer) -> None:
    wanted = rows("forward a1", "facts a2", "facts b1", "forward a3")
    done, error = await the_sender().publish(wanted)
    assert (sorted(done), error) == (sorted(ids(wanted)), None)
    assert [taken for taken in broker.taken if taken[0] == "a"] == ["a1", "a2", "a3"]
    first = {(topic, *some) for topic, some in broker.asked[:2]}
    assert first == {("x.forward", "a1"), ("x.facts", "b1")}


async def test_an_error_ends_it_and_no_later_wave_is_sent(broker: KeepingProducer) -> None:
    broker.fails = refusing(ConnectionError("gone"), "a1")
    done, error = await the_sender().publish(rows("forward a1", "facts b1", "facts a2"))
    assert (done, str(error)) == (["b1"], "gone")
    assert "a2" not in str(broker.asked)


async def test_a_row_that_kafka_refuses_holds_its_key_in_later_waves(
    broker: KeepingProducer,
) -> None:
    broker.fails = refusing(MessageSizeTooLargeError(), "a1")
    sender = the_sender()
    names = ("forward a1", "forward b1", "facts a2", "facts b2", "forward a3", "forward b3")
    done, error = await sender.publish(rows(*names))
    assert (done, error) == (["b1", "b2", "b3"], None)
    assert sender.refused.keys() == {"a1"}
    assert broker.taken == ["b1", "b2", "b3"]


async def test_a_lane_that_is_shut_holds_its_keys_in_later_waves(broker: KeepingProducer) -> None:
    broker.fails = refusing(TopicAuthorizationFailedError(), "x.facts")
    sender = the_sender()
    names = ("forward a1", "facts b1", "facts a2", "forward b2", "forward a3")
    done, error = await sender.publish(rows(*names))
    assert (done, error) == (["a1"], None)
    assert sender.shut.keys() == {"x.facts"}
    assert broker.taken == ["a1"]


@dataclass
class Outbox:
    """It gives what is no topic's that it is asked to leave out."""

    rows: dict[str, OutboxRow]

    async def lead(self) -> bool:
        return True

    async def pending(self, limit: int, *shut: str) -> Pending:
        found = [(id_, row) for id_, row in self.rows.items() if row.topic not in shut]
        return Pending(found[:limit], is_end=len(found) <= limit, any_refused=False)

    async def acknowledge(self, done: Sequence[str]) -> None:
        for id_ in done:
            del self.rows[id_]


@pytest.mark.parametrize(
    ("together", "later"), [(LANES, []), (frozenset[str](), ["c1"])], ids=["together", "apart"]
)
async def test_the_lanes_of_a_log_wait_together_while_one_is_shut(
    broker: KeepingProducer, together: frozenset[str], later: list[str]
) -> None:
    """Else a key whose next row is in an open lane would go on without the one in the shut lane."""
    broker.fails = refusing(TopicAuthorizationFailedError(), "x.facts")
    outbox: Any = Outbox(dict(rows("facts a1", "forward b1")))
    relay = Relay(outbox, Cluster("nowhere"), "x", together=together)
    await relay.relay_once()
    assert broker.taken == ["b1"]
    outbox.rows |= dict(rows("forward c1"))
    await relay.relay_once()
    assert broker.taken == ["b1", *later]


async def test_what_is_no_part_of_the_log_flows_while_a_lane_is_shut(
    broker: KeepingProducer,
) -> None:
    broker.fails = refusing(TopicAuthorizationFailedError(), "x.facts")
    outbox: Any = Outbox(dict(rows("facts a1")))
    relay = Relay(outbox, Cluster("nowhere"), "x", together=LANES)
    await relay.relay_once()
    outbox.rows |= dict(rows("forward b1", "delivery-details c1"))
    await relay.relay_once()
    assert broker.taken == ["c1"]


async def test_a_lane_that_is_open_again_lets_all_of_them_go(
    broker: KeepingProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = StoppedClock(monkeypatch)
    broker.fails = refusing(TopicAuthorizationFailedError(), "x.facts")
    outbox: Any = Outbox(dict(rows("facts a1", "forward a2", "forward b1")))
    relay = Relay(outbox, Cluster("nowhere"), "x", together=LANES)
    await relay.relay_once()
    broker.fails = KeepingProducer.fails
    await relay.relay_once()
    assert broker.taken == ["b1"]
    clock.s += 600
    await relay.relay_once()
    assert broker.taken == ["b1", "a1", "a2"]
