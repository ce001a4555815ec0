"""What /health/ready and the gauges say of what fails."""

import math
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from chassis import clock
from chassis.consumer import Consumer
from chassis.health import Health
from chassis.http import make_app
from shipping_svc.service import SERVICE


async def _asked(health: Health) -> tuple[int, dict[str, Any]]:
    async def conditions() -> Any:
        return health.now()

    transport = httpx.ASGITransport(make_app("order", conditions))
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
    """A session whose client tells its lag, or does not."""

    def __init__(self) -> None:
        self.polled_at = clock.monotonic()
        self.answers: list[int | Exception] = []

    async def lag(self) -> int:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def _lag() -> float | None:
    return REGISTRY.get_sample_value("saga_consumer_lag_records", {"service": SERVICE.name})


async def test_the_lag_is_measured_while_records_flow_and_unknown_when_kafka_is_silent() -> None:
    reader = Consumer(SERVICE, None, "127.0.0.1:1")  # type: ignore[arg-type]
    await reader.measure()
    assert math.isnan(_lag() or 0.0)
    assert reader.away == ""  # that nothing is assigned is another condition
    session = Ends()
    reader._session = session  # type: ignore[assignment]
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
    reader = Consumer(SERVICE, None, "127.0.0.1:1", stall_s=20.0)  # type: ignore[arg-type]
    reader._session = session = Ends()  # type: ignore[assignment]
    reader.ready.set()
    assert reader.stalled() == ""
    monkeypatch.setattr(clock, "monotonic", lambda: session.polled_at + 12.0)
    assert "12 s" in reader.stalled()
