"""G8 on real servers: what a service has stored is what its own published events add up to."""

import asyncio
from dataclasses import asdict
from importlib import import_module
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic_core import from_json
from redis.asyncio import Redis

from chassis.decide import adapter_of
from chassis.message import VersionedState
from chassis.replay import InTurn
from chassis.service import Service
from guarantees.declared import tables_of
from guarantees.services import WITH_DATABASE
from saga_cli.log.reader import read
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME, SERVICES, Addresses
from shared_events.catalog import CATALOG
from tests.support.shop import place_many, settled
from tests.support.waiting import until

Rows = dict[str, Any]


def added_up(service: Service, published: list[Any]) -> tuple[dict[str, VersionedState], Rows]:
    """Own states by order, and the rows that orders share; a repeat of a publish adds nothing."""
    own: dict[str, VersionedState] = {}
    shared: Rows = {}
    seen = set()
    for envelope in published:
        if envelope.id in seen:
            continue
        seen.add(envelope.id)
        row = own.get(envelope.subject, VersionedState(service.initial, 0))
        state = service.evolve(service.with_shared(row.state, shared), envelope.event)
        after, changed = service.split(state)
        shared = {**shared, **changed}
        if CATALOG.entry_of(envelope.event).is_of_a_saga:
            own[envelope.subject] = VersionedState(after, max(row.version, envelope.sequence))
    return own, shared


def as_rows(own: dict[str, VersionedState], shared: Rows) -> tuple[Rows, Rows]:
    states = {
        key: (row.version, type(row.state).__name__, _detail(row.state)) for key, row in own.items()
    }
    return states, {key: asdict(value) for key, value in shared.items()}


def _detail(state: Any) -> Any:
    return from_json(adapter_of(type(state)).dump_json(state))


async def stored(addresses: Addresses, name: str) -> tuple[Rows, Rows]:
    if name not in WITH_DATABASE:
        return await _in_redis(addresses)
    states, shared = tables_of(name)
    connection = await asyncpg.connect(addresses.database_url(BY_NAME[name]))
    try:
        query = f"SELECT order_id, version, status, detail FROM {states.table}"  # noqa: S608 - own names
        own = {r[0]: (r[1], r[2], from_json(r[3])) for r in await connection.fetch(query)}
        if shared is None:
            return own, {}
        rows = await connection.fetch(f"SELECT * FROM {shared.table}")  # noqa: S608 - own names
        key = shared.key
        return own, {row[key]: {k: v for k, v in row.items() if k != key} for row in rows}
    finally:
        await connection.close()


async def _in_redis(addresses: Addresses) -> tuple[Rows, Rows]:
    own, customers = {}, {}
    url = f"{addresses.redis_url}/{BY_NAME['loyalty'].redis_database}"
    async with Redis.from_url(url, decode_responses=True) as redis:
        async for key in redis.scan_iter("loyalty:order:*"):
            version, status, detail = await redis.hmget(key, ["version", "status", "detail"])
            if version is not None:
                own[key.split(":", 2)[2]] = (int(version), status, from_json(str(detail)))
        async for key in redis.scan_iter("loyalty:customer:*"):
            row = await redis.hmget(key, ["points", "suspended", "changes"])
            points, suspended, changes = (int(value or 0) for value in row)
            found = {"points": points, "suspended": bool(suspended), "changes": changes}
            customers[key.split(":", 2)[2]] = found
    return own, customers


@pytest.fixture(scope="module")
def rested(stack: Services) -> Services:
    """A system with orders of every kind behind it, and nothing on its way."""
    orders = asyncio.run(place_many([stack.url("order")], 60))
    assert settled(stack, orders).violations == []
    for order_id in orders[::10]:
        httpx.post(f"{stack.url('order')}/orders/{order_id}/cancel").raise_for_status()
    assert settled(stack, orders).violations == []
    return stack


async def both(addresses: Addresses, name: str) -> tuple[tuple[Rows, Rows], tuple[Rows, Rows]]:
    """What is stored, and what was published by then or a moment later."""
    service: Service = import_module(f"{name}_svc.service").SERVICE
    found = await stored(addresses, name)
    logged = await read(addresses.kafka, service.log_topics)
    in_turn = [*InTurn().take(entry.envelope for entry in logged)]
    return found, as_rows(*added_up(service, in_turn))


@pytest.mark.parametrize("name", [spec.name for spec in SERVICES])
def test_what_is_stored_is_what_the_published_events_add_up_to(rested: Services, name: str) -> None:
    """A shipment may leave by its timer between the two readings; then they are read again."""
    found: Any = None

    def agree() -> bool:
        nonlocal found
        found, published = asyncio.run(both(rested.addresses, name))
        return bool(found == published)

    until(agree, 60, "a fold of the log that equals the rows")
    assert len(found[0]) >= 20
