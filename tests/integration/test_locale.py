"""Orders are listed in the order of their bytes on databases that sort text by a locale."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from order_svc.api import PAGE
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME
from tests.support.shop import checkout

HAS_LOCALES = "SELECT EXISTS (SELECT FROM pg_collation WHERE collname = 'en-US-x-icu')"
BY_LOCALE = "SELECT '~' < '0'"


def asked(stack: Services, *queries: str) -> list[Any]:
    async def ask() -> list[Any]:
        connection = await asyncpg.connect(stack.addresses.database_url(BY_NAME["order"]))
        try:
            return [await connection.fetchval(query) for query in queries]
        finally:
            await connection.close()

    return asyncio.run(ask())


def listed(stack: Services, **query: Any) -> list[str]:
    """Page by page, up to the end."""
    found: list[str] = []
    while True:
        page = httpx.get(f"{stack.url('order')}/orders", params=query).json()
        found += [order["order_id"] for order in page["orders"]]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


def test_the_databases_of_tests_sort_text_by_a_locale_where_the_server_can(stack: Services) -> None:
    has_locales, sorts_by_one = asked(stack, HAS_LOCALES, BY_LOCALE)
    assert has_locales == sorts_by_one


def test_orders_are_listed_newest_first_and_none_is_left_out(stack: Services) -> None:
    placed = [checkout(stack, customer_id="eve").json()["order_id"] for _ in range(5)]
    assert listed(stack, limit=2, customer_id="eve")[:5] == placed[::-1]
    assert listed(stack, limit=3)[:5] == placed[::-1]
    assert listed(stack, customer_id="nobody") == []


@pytest.mark.parametrize(
    ("where", "index"),
    [("", "orders_by_id"), ("AND customer_id = $3", "orders_customer_by_id")],
)
def test_a_page_of_orders_is_read_by_an_index(stack: Services, where: str, index: str) -> None:
    query = PAGE.format(where).replace("$1", "'~'").replace("$2", "3").replace("$3", "'eve'")
    settings = ("SET enable_seqscan = off", "SET enable_sort = off")
    plan = asked(stack, *settings, f"EXPLAIN (FORMAT JSON) {query}")[-1]
    assert f'"Index Name": "{index}"' in plan
    assert "Sort" not in plan
