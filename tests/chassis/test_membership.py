"""How soon a member that died is replaced, and what becomes of a session that a broker finds too short."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import InvalidSessionTimeoutError, KafkaError
from structlog.testing import capture_logs

from chassis.kafka import Cluster, consumer
from chassis.kafka.membership import is_too_short, longer_than, options_of
from tests.chassis.test_consumer import OneBatch, Seen, a_reader
from tests.support.records import a_record, captured
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
        reader = a_reader(store, session_s=2.0)
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
    assert reader.stall_s >= 3 * reader.session_s
    (line,) = [line for line in lines if line["log_level"] in {"warning", "error"}]
    assert line["event"] == "session_timeout_refused"
    assert (line["asked_s"], line["now_s"]) == (2.0, 6.0)
