"""Effects in PostgreSQL are leased by as many as were asked for, whatever the planner thinks."""

from collections.abc import AsyncIterator
from typing import Final

import pytest

from chaos.fake_stripe import fake_stripe
from chassis.postgres.store import PostgresStore
from chassis.postgres.types import Connection
from payment_svc.service import SERVICE
from saga_cli.clients import database
from saga_cli.topology import BY_NAME, Addresses
from tests.integration.stripe_fixtures import Desk, desk

OWE: Final = """
INSERT INTO effects (id, key, kind, body, traceparent, due_at)
SELECT 'lease-' || n, 'lease-' || n, 'Capture', '{}', '', now() - interval '1 hour'
FROM generate_series(1, $1) AS n
"""
AWAY: Final = "DELETE FROM effects WHERE key LIKE 'lease-%'"


@pytest.fixture
async def store(
    addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PostgresStore]:
    with fake_stripe() as fake:
        async with desk(addresses, fake, monkeypatch) as payment:
            yield payment.store
            await _run(payment, AWAY)


async def _run(payment: Desk, query: str) -> None:
    async with payment.store.transaction() as connection:
        await connection.execute(query)


async def seen_empty(connection: Connection, owner: Connection) -> None:
    """The planner takes the table for an empty one, as it often is."""
    await owner.execute("ANALYZE effects")
    await connection.execute(OWE, 500)


async def seen_full(connection: Connection, owner: Connection) -> None:
    await connection.execute(OWE, 500)
    await owner.execute("ANALYZE effects")


async def never_hashed(connection: Connection, owner: Connection) -> None:
    """The plan that a busy table may get: the choice on the inner side of a loop."""
    await connection.execute(OWE, 500)
    for method in ("hashagg", "hashjoin", "mergejoin", "material", "sort"):
        await connection.execute(f"ALTER ROLE CURRENT_USER SET enable_{method} = off")


@pytest.mark.parametrize("seen", [seen_empty, seen_full, never_hashed])
async def test_no_more_are_leased_than_were_asked_for(
    store: PostgresStore, addresses: Addresses, seen: object
) -> None:
    assert callable(seen)
    kinds = tuple(SERVICE.effects)
    try:
        async with (
            store.reading() as connection,
            database(addresses.owner_url(BY_NAME["payment"])) as owner,
        ):
            await seen(connection, owner)
        await store.async_commit_pool.expire_connections()  # so that new ones are planned anew
        leased = [await store.due_effects(kinds, limit, 60) for limit in (1, 3, 50, 1)]
        assert [len(batch) for batch in leased] == [1, 3, 50, 1]
        ids = [effect.id for batch in leased for effect in batch]
        assert len(ids) == len(set(ids)), "leased twice"
    finally:
        async with store.transaction() as connection:
            await connection.execute("ALTER ROLE CURRENT_USER RESET ALL")
