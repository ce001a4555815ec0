"""What is live on the console's pages: server-sent events, from where a browser has stopped."""

import asyncio

import pytest

from console.model import Change, Changes
from console.web.live import Hub
from tests.support.console_sample import AT, ORDER_ID, SampleQueries
from tests.support.waiting import until_async


async def test_changes_are_sent_from_where_the_browser_was() -> None:
    queries = SampleQueries()
    change = Change(50, ORDER_ID, "stock.reserved.v1", "inventory", AT)
    queries.changes = [Changes(50, (change,)), Changes(60, (), is_cut=True)]
    stopping = asyncio.Event()
    hub = Hub(queries.as_queries(), stopping)
    stream = hub.stream("41")
    assert await anext(stream) == b"event: hello\ndata: {}\nid: 41\nretry: 2000\n\n"
    first = (await anext(stream)).decode()
    assert first == f'event: changes\ndata: {{"orders":["{ORDER_ID}"],"all":false}}\nid: 50\n\n'
    assert '"all":true' in (await anext(stream)).decode()
    stopping.set()
    await stream.aclose()
    later = hub.stream("")
    assert b"id: 42" in await anext(later)
    await later.aclose()


async def test_who_looked_before_a_rebuild_is_sent_back_and_asks_no_more_often_than_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queries, asked = SampleQueries(), []

    async def since(position: int, _limit: int = 500) -> Changes:
        asked.append(position)
        return Changes(7, is_cut=position != 7)

    monkeypatch.setattr(queries, "changes_since", since)
    hub = Hub(queries.as_queries(), asyncio.Event())
    before, after = hub.stream("5000000"), hub.stream("7")
    assert b"id: 5000000" in await anext(before)
    assert b'"all":true}\nid: 7' in await anext(before)
    assert b"id: 7" in await anext(after)
    waiting = [asyncio.ensure_future(anext(each)) for each in (before, after)]
    await until_async(lambda: asked.count(7) >= 4, 30, "the reading for all")
    assert len(asked) <= 8
    hub.stopping.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.wait_for(hub.ended(), 30)


async def test_nobody_who_looks_asks_nothing() -> None:
    queries = SampleQueries()
    hub = Hub(queries.as_queries(), asyncio.Event())
    stream = hub.stream("42")
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    queries.changes = [Changes(50, (Change(50, "o", "x", "order", AT),))]
    assert b"id: 50" in await asyncio.wait_for(waiting, 5)
    await stream.aclose()
    await asyncio.wait_for(hub.ended(), 5)
