"""How soon a member that died is replaced, and what becomes of a session that a broker finds too short."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import InvalidSessionTimeoutError, KafkaError
from structlog.testing import capture_logs

from chassis.kafka import Cluster, consumer
from chassis.kafka.membership import (
    CALM_S,
    LONGEST_S,
    Membership,
    SessionTimeout,
    is_too_short,
    longer_than,
    options_of,
)
from tests.chassis.test_consumer import OneBatch, Seen, a_reader
from tests.support.records import a_record, captured
from tests.support.stopped_clock import StoppedClock
from tests.support.waiting import until_async


@pytest.mark.parametrize(("session_s", "beat_ms"), [(6.0, 1500), (2.0, 500), (1.0, 250)])
def test_three_heartbeats_of_a_session_may_be_late(session_s: float, beat_ms: int) -> None:
    wanted = {"session_timeout_ms": session_s * 1000, "heartbeat_interval_ms": beat_ms}
    assert options_of(session_s) == wanted


@pytest.mark.parametrize(("refused_s", "next_s"), [(1.0, 6.0), (2.5, 6.0), (6.0, 12.0)])
def test_after_what_a_broker_usually_allows_twice_as_long_is_asked_for(
    refused_s: float, next_s: float
) -> None:
    assert longer_than(refused_s) == next_s


def test_a_refusal_is_known_by_its_cause() -> None:
    assert not is_too_short(KafkaError("Unexpected error during coordination"))
    assert not is_too_short(None)
    assert is_too_short(refusal())


def refusal() -> Exception:
    """As it comes out of aiokafka's own task, through a session of ours."""
    inner, outer = KafkaError("Unexpected error during coordination"), RuntimeError("ended")
    inner.__cause__, outer.__cause__ = InvalidSessionTimeoutError(), inner
    return outer


class TooShort(OneBatch):
    """A client of a broker that allows six seconds at least."""

    def __init__(self, session_s: float) -> None:
        super().__init__(a_record(captured()))
        self.session_s = session_s

    async def getmany(self, **_: Any) -> Any:
        if self.session_s < 6:
            raise refusal()
        return await super().getmany()


def test_a_session_that_a_broker_refuses_is_made_longer_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float] = []

    def make(_cluster: Cluster, _group: str, session_s: float) -> TooShort:
        asked.append(session_s)
        return TooShort(session_s)

    async def run() -> consumer.Consumer:
        store, stopping = Seen(keeps_positions=False), asyncio.Event()
        reader = a_reader(store, session_timeout=SessionTimeout(2.0))
        running = asyncio.create_task(reader.run(stopping))
        await until_async(lambda: store.messages, 8, "a message")
        stopping.set()
        await running
        return reader

    monkeypatch.setattr(consumer, "make_consumer", make)
    with capture_logs() as lines:
        reader = asyncio.run(run())
    assert asked == [2.0, 6.0]
    assert (reader.failures, reader.rebuilds, reader.away) == (0, 0, "")
    assert reader.given_up_s == reader.stall_s + 3 * 4
    (line,) = [line for line in lines if line["log_level"] in {"warning", "error"}]
    assert line["event"] == "session_timeout_refused"
    assert (line["asked_s"], line["now_s"]) == (2.0, 6.0)


class Member:
    """A client with the part of aiokafka's that knows the group."""

    def __init__(self) -> None:
        self.rejoins = 0
        self._coordinator = SimpleNamespace(
            member_id="",
            request_rejoin=self.rejoin,
            **{f"_{n}": v for n, v in options_of(2).items()},
        )

    def rejoin(self) -> None:
        self.rejoins += 1

    @property
    def asks_ms(self) -> tuple[int, int]:
        of = self._coordinator
        return of._session_timeout_ms, of._heartbeat_interval_ms

    def is_now(self, member_id: str) -> None:
        self._coordinator.member_id = member_id


def a_member(session: SessionTimeout) -> tuple[Member, Membership]:
    client = Member()
    membership = Membership(client, session)
    for member_id in ("", "m-1"):  # it has none as it joins
        client.is_now(member_id)
        membership.look()
    return client, membership


def test_a_member_that_stays_in_its_group_asks_for_what_is_set() -> None:
    client, membership = a_member(session := SessionTimeout(2.0))
    for _ in range(4):
        membership.look()
    assert (session.seconds, client.asks_ms) == (2.0, (2000, 500))


@pytest.mark.parametrize("ids", [["", "m-2"], ["m-2"]], ids=["before it rejoins", "as it rejoins"])
def test_a_member_that_was_taken_for_dead_asks_for_twice_as_long(ids: list[str]) -> None:
    client, membership = a_member(session := SessionTimeout(2.0))
    for member_id in ids:
        client.is_now(member_id)
        membership.look()
    assert (session.seconds, client.asks_ms) == (4.0, (4000, 1000))
    membership.look()
    assert session.seconds == 4.0


def test_however_often_it_is_lost_a_session_is_never_longer_than_half_a_minute() -> None:
    session = SessionTimeout(2.0)
    for _ in range(9):
        session.lost()
    assert session.seconds == LONGEST_S


def test_what_a_broker_wants_longer_than_that_stays() -> None:
    session = SessionTimeout(25.0)
    session.refused()
    session.lost()
    assert session.seconds == 50.0


def test_after_calm_a_session_is_half_as_long_down_to_what_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = StoppedClock(monkeypatch)
    client, membership = a_member(session := SessionTimeout(3.0))
    session.lost()
    session.lost()
    asked = []
    for seconds in (CALM_S - 1, 1, CALM_S - 1, 1, CALM_S, CALM_S):
        clock.s += seconds
        membership.rejoin_if_calm(clock.s)
        asked.append((session.seconds, client.rejoins))
    assert asked == [(12.0, 0), (6.0, 1), (6.0, 1), (3.0, 2), (3.0, 2), (3.0, 2)]
    assert client.asks_ms == (3000, 750)


def test_a_loss_begins_the_wait_for_calm_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StoppedClock(monkeypatch)
    session = SessionTimeout(2.0)
    session.lost()
    clock.s += CALM_S - 1
    session.lost()
    clock.s += CALM_S - 1
    assert not session.is_calm(clock.s)


def test_the_next_client_of_the_process_begins_with_the_longer_session() -> None:
    session = SessionTimeout(2.0)
    first, membership = a_member(session)
    first.is_now("m-2")
    membership.look()
    a_member(session)
    assert session.seconds == 4.0, "a first join is no loss"
