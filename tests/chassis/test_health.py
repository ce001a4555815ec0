"""What /health/ready and the gauges say of what fails."""

import asyncio
import math
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from chassis import clock
from chassis.errors import TransientError
from chassis.health import Health
from chassis.http.app import make_app
from chassis.kafka.consumer import ConsumerSession
from chassis.process import runtime
from chassis.process.runtime import Node
from chassis.process.settings import ServiceSettings
from chassis.service import Provider
from chassis.store import StoreBacklog
from shipping_svc.service import SERVICE
from tests.chassis.test_consumer import Seen, a_reader
from tests.simulation.loyalty import VirtualTime
from tests.support.callers import open_gate
from tests.support.records import a_record, captured


async def _asked(health: Health) -> tuple[int, dict[str, Any]]:
    async def conditions() -> Any:
        return health.now()

    transport = httpx.ASGITransport(make_app("order", conditions, open_gate()))
    async with httpx.AsyncClient(transport=transport, base_url="http://order") as client:
        answer = await client.get("/health/ready")
    return answer.status_code, answer.json()


def _degraded(service: str, reason: str) -> float | None:
    return REGISTRY.get_sample_value("saga_degraded", {"service": service, "reason": reason})


async def test_what_does_not_block_makes_it_degraded_with_its_reason_until_it_is_over() -> None:
    health = Health("a-service")
    assert await _asked(health) == (200, {"status": "ready", "reasons": []})
    failing = ["Kafka is away"]
    health.watch("relay_failing", lambda: failing[0])
    status, body = await _asked(health)
    assert (status, body["status"]) == (200, "degraded")
    (reason,) = body["reasons"]
    assert (reason["reason"], reason["detail"]) == ("relay_failing", "Kafka is away")
    assert _degraded("a-service", "relay_failing") == 1
    failing[0] = "it is away still"
    (later,) = (await _asked(health))[1]["reasons"]
    assert (later["detail"], later["since"]) == ("it is away still", reason["since"])
    failing[0] = ""
    assert (await _asked(health))[1] == {"status": "ready", "reasons": []}
    assert _degraded("a-service", "relay_failing") == 0


async def test_what_blocks_the_durable_job_is_a_problem_that_names_all_that_fails() -> None:
    health = Health("another")
    health.report("kafka_away", "no answer")
    health.report("store_away", "the store is away: read-only", blocking=True)
    status, body = await _asked(health)
    assert (status, body["code"], body["detail"]) == (
        503,
        "not_ready",
        "the store is away: read-only",
    )
    assert [x["reason"] for x in body["reasons"]] == ["store_away", "kafka_away"]
    assert REGISTRY.get_sample_value("saga_ready", {"service": "another"}) == 0
    health.clear("store_away")
    assert (await _asked(health))[0] == 200
    assert REGISTRY.get_sample_value("saga_ready", {"service": "another"}) == 1


class Ends:
    """A session whose client gives the ends of its partitions, or does not."""

    client = None

    def __init__(self) -> None:
        self.polled_at = clock.monotonic()
        self.answers: list[int | Exception] = []
        self.lag = self
        self.oldest_s = 0.0

    async def count(self, _: Any) -> int:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def _lag() -> float | None:
    return REGISTRY.get_sample_value("saga_consumer_lag_records", {"service": SERVICE.name})


async def test_the_lag_is_measured_while_records_flow_and_unknown_when_kafka_is_silent() -> None:
    reader = a_reader(None)
    await reader.measure()
    assert math.isnan(_lag() or 0.0)
    assert reader.away == ""  # that nothing is assigned is another condition
    session = Ends()
    reader.session = session  # type: ignore[assignment]
    reader.ready.set()
    session.answers = [3030, TimeoutError(), TimeoutError(), 0]
    await reader.measure()
    assert _lag() == 3030
    await reader.measure()
    assert (math.isnan(_lag() or 0.0), reader.away) == (True, "")
    await reader.measure()
    assert reader.away != ""
    await reader.measure()
    assert (_lag(), reader.away) == (0, "")


def test_a_client_whose_poll_does_not_come_back_shows_before_it_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = a_reader(None, stall_s=20.0)
    reader.session = session = Ends()  # type: ignore[assignment]
    reader.ready.set()
    assert reader.stalled() == ""
    monkeypatch.setattr(clock, "monotonic", lambda: session.polled_at + 12.0)
    assert "12 s" in reader.stalled()


class Away:
    """A store that can be committed to, or not; nothing waits in it."""

    is_durable = True

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def backlog(self) -> StoreBacklog:
        if self.error is not None:
            raise self.error
        return StoreBacklog()


def _a_node(store: Away) -> Node:
    settings = ServiceSettings(kafka_bootstrap="127.0.0.1:1", http_port=0, auth="off")
    provider = Provider("carrier", {})
    as_store: Any = store
    node = runtime.assemble(SERVICE, settings, as_store, as_store, provider)
    node.consumer.ready.set()
    return node


async def _reasons(node: Node) -> dict[str, bool]:
    return {condition.reason: condition.blocking for condition in await node.conditions()}


async def test_each_part_of_a_process_tells_what_fails_in_it() -> None:
    node = _a_node(Away())
    assert await _reasons(node) == {}
    node.consumer.ready.clear()
    assert await _reasons(node) == {"consumer_unassigned": False}
    node.consumer.ready.set()
    node.consumer.away = "no broker answers"
    node.relay.failing = "KafkaConnectionError()"
    assert await _reasons(node) == {"kafka_away": False, "relay_failing": False}
    node.consumer.away = node.relay.failing = ""
    (circuit,) = node.circuits
    for nth in range(circuit.failures_max):
        circuit.failed(f"o-{nth}", ConnectionError("the line is dead"))
    (condition,) = await node.conditions()
    assert (condition.reason, condition.blocking) == ("circuit_open", False)
    assert "the line is dead" in condition.detail
    circuit.succeeded()
    assert await _reasons(node) == {}
    node.stopping.set()
    assert await _reasons(node) == {"shutting_down": True}


@pytest.mark.parametrize("error", [TransientError("read-only"), TimeoutError()])
async def test_a_store_that_takes_nothing_blocks_until_it_does(error: Exception) -> None:
    store = Away()
    node = _a_node(store)
    store.error = error
    assert await _reasons(node) == {"store_away": True}
    store.error = None
    assert await _reasons(node) == {}


async def test_a_batch_that_is_tried_again_and_again_is_told_until_it_goes_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    VirtualTime().replace(monkeypatch)
    store: Any = RefusingNode()
    reader = store.reader = a_reader(store)
    session = ConsumerSession(reader, asyncio.Event())
    event = captured()
    await session.until_handled([a_record(event)])
    assert store.result == [set()] * 4 + [{"batch_failing"}] * 4
    assert reader.health.now() == ()


class RefusingNode(Seen):
    """Refuses seven times, and notes what its consumer says of itself meanwhile."""

    def __init__(self) -> None:
        super().__init__(keeps_positions=False)
        self.result: list[set[str]] = []
        self.reader: Any = None

    async def handle(self, messages: Any) -> Any:
        self.result.append({condition.reason for condition in self.reader.health.now()})
        if len(self.result) < 8:
            raise TransientError("the store is away")
        return await super().handle(messages)
