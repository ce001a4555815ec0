"""What Kafka refuses for good, seen and settled by the real command, in PostgreSQL and in Redis."""

import asyncio
import json
import uuid
from typing import Any

import httpx
import pytest
from redis import Redis

from loyalty_svc.store import KEYS
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME
from tests.support.saga import operating
from tests.support.shop import checkout
from tests.support.stack import TOO_LARGE, put_too_large
from tests.support.waiting import until


def put(services: Services, name: str, key: str) -> None:
    """A row that its topic never takes, and one behind it."""
    if name == "payment":
        asyncio.run(put_too_large(services.addresses.database_url(BY_NAME["payment"]), key))
        return
    with Redis.from_url(services.addresses.redis_url) as redis:
        for value in (TOO_LARGE, b"small"):
            row: dict[Any, Any] = {"t": "loyalty.dead-letters", "k": key, "v": value, "h": "[]"}
            redis.xadd(KEYS.outbox, row)


def listed(services: Services, name: str, key: str) -> list[dict[str, Any]]:
    rows = json.loads(operating(services, "outbox", "list", name, "--json").out)
    return [row for row in rows if row["key"] == key]


@pytest.mark.parametrize("name", ["payment", "loyalty"])
def test_a_refused_row_is_listed_tried_again_and_discarded(stack: Services, name: str) -> None:
    key = str(uuid.uuid4())
    put(stack, name, key)
    until(lambda: bool(listed(stack, name, key)), 60, "a refused row")
    (row,) = listed(stack, name, key)
    assert (row["topic"], row["bytes"]) == (f"{name}.dead-letters", len(TOO_LARGE))
    assert "MessageSizeTooLarge" in row["error"]

    def reasons() -> list[str]:
        health = httpx.get(f"{stack.url(name)}/health/ready")
        assert health.status_code == 200
        return [reason["reason"] for reason in health.json().get("reasons", ())]

    until(lambda: "outbox_rows_refused" in reasons(), 20, "a degraded service")
    assert checkout(stack).json()["state"] == "CONFIRMED"
    again = operating(stack, "outbox", "redrive", name, row["id"], "--note", "try")
    assert (again.code, "is tried again" in again.out) == (0, True), again
    until(lambda: bool(listed(stack, name, key)), 60, "the same refusal")
    discard = ("outbox", "discard", name, row["id"], "--reason", "a test", "--yes")
    gone = operating(stack, *discard)
    assert (gone.code, "is discarded" in gone.out) == (0, True), gone
    assert listed(stack, name, key) == []
    once_more = operating(stack, *discard)
    assert (once_more.code, "no refused row" in once_more.err) == (1, True), once_more
    beyond = operating(stack, "outbox", "discard", name, "9" * 20, "--reason", "a test", "--yes")
    assert (beyond.code, "no refused row" in beyond.err) == (1, True), beyond
    trail = operating(stack, "dead-letters", "actions", name, key, "--json")
    assert [action["action"] for action in json.loads(trail.out)] == ["release", "drop"]
