"""Rows that another release has stored are run, whatever this one calls their classes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from chassis.effects import EffectWorker
from chassis.effects.circuit import Circuit
from chassis.service import Attempt, Service
from payment_svc.messages import Capture, CaptureSucceeded, Refund
from payment_svc.service import SERVICE
from payment_svc.store import PAYMENTS
from shared_events.inventory import StockReserved
from tests.integration.chassis_fixtures import STORES, Home, Kind, kind_of
from tests.support.opened import Opened
from tests.support.records import a_message, an_order
from tests.support.relaying import relayed
from tests.support.waiting import until_async


@dataclass(frozen=True, slots=True, kw_only=True)
class TakePayment(Capture):
    """What this release calls a capture."""


RENAMED = replace(SERVICE, effects={"Capture": TakePayment, "Refund": Refund}, resolutions={})
REPLACED = replace(
    RENAMED,
    effects={"Charge": TakePayment, "Refund": Refund},
    former_kinds={"Capture": "Charge"},
)


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request, Home(SERVICE, PAYMENTS))


@pytest.fixture
async def before(kind: Kind) -> AsyncIterator[Opened]:
    store = await kind.connect(SERVICE)
    yield store
    await store.close()


@pytest.mark.parametrize(
    ("service", "name"),
    [(RENAMED, "Capture"), (REPLACED, "Charge")],
    ids=["class renamed", "name replaced"],
)
async def test_a_row_that_was_stored_before_a_rename_is_run_and_settled(
    kind: Kind, before: Opened, service: Service, name: str
) -> None:
    order = an_order()
    await before.handle([a_message(StockReserved(order=order))])
    await relayed(before)
    now = await kind.connect(service)
    assert sum((await now.backlog()).effects.values()) >= 1
    asked: list[tuple[Any, Attempt]] = []

    async def capture(body: Any, attempt: Attempt) -> Any:
        asked.append((body, attempt))
        return CaptureSucceeded(order_id=body.order_id, provider_ref="p")

    circuit = Circuit("payment", "bank")
    worker = EffectWorker(service, now.core.handler, now.store, {name: capture}, circuit)
    stopping = asyncio.Event()
    running = asyncio.create_task(worker.run(stopping))

    async def is_captured() -> bool:
        return (await now.inspection.whereabouts(order.order_id)).state == "Captured"

    try:
        await until_async(is_captured, 20, "the capture")
    finally:
        stopping.set()
        await running
    ((body, attempt),) = [each for each in asked if each[0].order_id == order.order_id]
    assert type(body) is TakePayment
    assert attempt.key == f"{order.order_id}:capture:1"
    assert (await now.inspection.whereabouts(order.order_id)).outstanding_effects == ()
    await now.close()


async def test_an_operator_expedites_a_row_of_a_replaced_name(kind: Kind, before: Opened) -> None:
    order = an_order()
    await before.handle([a_message(StockReserved(order=order))])
    now = await kind.connect(REPLACED)
    assert await now.inspection.expedite(order.order_id, "ada") == 1
    await now.close()
