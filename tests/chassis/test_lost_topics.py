"""A service that lacks topics in which it has published: what it tells whoever starts it."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Final

import pytest

from chassis.kafka import Cluster
from chassis.process import runtime
from order_svc.service import SERVICE

PUT_BACK: Final = "saga republish order"
LANES: Final = {*SERVICE.catalog.lanes_of("order")}
OTHERS: Final = {"order.delivery-details", "payment.forward"}


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (LANES - {"order.forward"}, PUT_BACK),
        ({"order.events"} | LANES - {"order.forward"}, PUT_BACK),
        (set[str](), PUT_BACK),
        ({"order.events"}, "ORDER_TOPIC_LAYOUT=former"),
    ],
    ids=["a lane is gone", "a lane is gone after a move", "all is gone", "it has never moved"],
)
async def test_what_is_gone_is_put_back_and_what_has_never_been_is_moved_to(
    monkeypatch: pytest.MonkeyPatch, there: set[str], says: str
) -> None:
    stopping, reader = asyncio.Event(), SimpleNamespace(away="")

    async def ensured(
        _cluster: Cluster,
        topics: dict[str, Any],
        check: Callable[[set[str], set[str]], Awaitable[None]],
    ) -> None:
        stopping.set()
        await check(topics.keys() - there - OTHERS, there | OTHERS)

    async def keeps_any() -> bool:
        return True

    monkeypatch.setattr(runtime, "ensure_topics", ensured)
    node: Any = SimpleNamespace(
        service=SERVICE,
        settings=SimpleNamespace(kafka=Cluster("127.0.0.1:1")),
        store=SimpleNamespace(keeps_any=keeps_any),
        consumer=reader,
        stopping=stopping,
    )
    await runtime.prepare_topics(node)
    assert says in reader.away
