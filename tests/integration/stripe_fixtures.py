"""The payment service without Kafka: its real store, effect worker and HTTP over the fake Stripe."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import payment_svc
from chaos.fake_stripe import API_KEY, SECRET, FakeStripe, signed
from chassis.bus import Acknowledged, Sent
from chassis.effects.worker import EffectWorker
from chassis.events import type_of
from chassis.message import OutboxRow
from chassis.postgres import PostgresDatabase, migrations
from chassis.postgres.inspection import PostgresInspection
from chassis.postgres.store import PostgresStore
from chassis.process.runtime import BackgroundTask, Node, assemble
from chassis.service import EffectRunner, Provider
from payment_svc import api
from payment_svc.domain import Captured, Declined, Refunded
from payment_svc.service import SERVICE
from payment_svc.settings import Settings
from payment_svc.store import PAYMENTS
from payment_svc.stripe_provider import StripeProvider
from saga_cli.topology import BY_NAME, Addresses
from shared_events.inventory import StockReserved
from shared_events.shipping import ShipmentCancelled
from shared_events.values import Order
from tests.support.records import a_message, an_order
from tests.support.waiting import until_async

TIMEOUT_S = 20.0  # a slow machine is no fault
POLL_S = 0.02
"""Between two looks of the effect worker at its store: what is due again is asked for at once."""
SHORT_TIMEOUT_S = 1.5  # where the provider does not answer on purpose


@dataclass
class Desk:
    """One payment process, in hand: neighbours' events go in, the provider is the fake."""

    node: Node
    worker: EffectWorker
    store: PostgresStore
    fake: FakeStripe
    http: httpx.AsyncClient
    app: FastAPI
    sent: list[OutboxRow] = field(default_factory=list)

    async def relay(self) -> None:
        """What waits in the outbox is published, and effects that waited for it are due."""
        assert await self.store.lead()
        rows = (await self.store.pending(10_000)).rows
        self.sent += [row for _, row in rows]
        await self.store.acknowledge([id_ for id_, _ in rows])
        if rows:
            self.node.core.bus.publish(Sent(rows))
            self.node.core.bus.publish(Acknowledged([row for _, row in rows]))

    async def _relaying(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await self.relay()
            await asyncio.sleep(0.02)

    @asynccontextmanager
    async def working(self, *, effects: bool = True) -> AsyncIterator[None]:
        """What HTTP asks for is decided as long as this lasts, and effects are run."""
        stopping = asyncio.Event()
        parts: list[BackgroundTask] = [self.node.commands.run, self._relaying]
        parts += [self.worker.run] if effects else []
        tasks = [asyncio.create_task(part(stopping)) for part in parts]
        try:
            yield
        finally:
            stopping.set()
            await asyncio.gather(*tasks)

    async def ask_once(self) -> None:
        """Each effect that is due is asked for once; whatever was learnt is decided on later."""
        await self.relay()
        await self.worker.ask()
        await asyncio.gather(*self.worker.running)

    async def reserved(self, **changes: Any) -> Order:
        """A neighbour holds the stock: the money is owed."""
        order = an_order(**changes)
        await self.node.core.handler.handle([a_message(StockReserved(order=order))])
        return order

    async def cancelled(self, order: Order, fee_minor: int = 0) -> None:
        """A neighbour has undone the shipment because the customer wished so."""
        event = ShipmentCancelled(
            order_id=order.order_id,
            reason="customer",
            refused_by="order",
            restocking_fee_minor=fee_minor,
        )
        await self.node.core.handler.handle([a_message(event)])

    async def state(self, order: Order) -> Any:
        async with self.store.reading() as connection:
            rows = await self.store.own.load(connection, [order.order_id])
        return rows[order.order_id].state

    async def until(self, order: Order, *kinds: type[Any], seconds: float = 30) -> Any:
        async def look() -> Any:
            state = await self.state(order)
            return state if isinstance(state, kinds) else None

        names = " or ".join(kind.__name__ for kind in kinds)
        return await until_async(look, seconds, names)

    async def ended(self, order: Order) -> Any:
        return await self.until(order, Captured, Declined, Refunded)

    async def outstanding_effects(self, order: Order) -> list[tuple[str, int]]:
        """Effects that wait, and how often each was asked."""
        found = await self.node.operations.whereabouts(order.order_id)
        return [(effect.id, effect.tries) for effect in found.outstanding_effects]

    async def now_due(self, order: Order) -> None:
        await self.node.operations.expedite(order.order_id, "test")

    async def pass_time(self, order: Order, hours: float) -> None:
        """Ours and the fake's clocks are that much later."""
        query = (
            "UPDATE effects SET owed_since = owed_since - make_interval(secs => $2) WHERE key = $1"
        )
        async with self.store.transaction() as connection:
            await connection.execute(query, order.order_id, hours * 3600.0)
        self.fake.pass_time(hours * 3600)

    async def send_event(
        self, event: Any, secret: str = SECRET, age_s: float = 0
    ) -> httpx.Response:
        body, headers = signed(event, secret, age_s)
        return await self.http.post("/webhooks/stripe", content=body, headers=headers)

    def events_of(self, order: Order, *types: str) -> list[Any]:
        return [
            event
            for event in self.fake.books.events
            if event["data"]["object"]["metadata"].get("order_id") == order.order_id
            and (not types or event["type"] in types)
        ]

    def moved(self, order: Order) -> tuple[list[int], list[int]]:
        """What the fake's ledger has of an order: charges and refunds."""
        books, id_ = self.fake.books, order.order_id
        charged, given_back = books.charged.get(id_, []), books.given_back.get(id_, [])
        return [amount for amount, _ in charged], [amount for amount, _ in given_back]

    async def published(self, order: Order) -> list[str]:
        await self.relay()
        return [type_of(row.headers) for row in self.sent if row.key == order.order_id]


@asynccontextmanager
async def desk(
    addresses: Addresses,
    fake: FakeStripe,
    patch: pytest.MonkeyPatch,
    timeout_s: float = TIMEOUT_S,
    **environment: str,
) -> AsyncIterator[Desk]:
    given = {
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_API_BASE": fake.url,
        "STRIPE_WEBHOOK_SECRET": f"whsec_older,{SECRET}",
        "PAYMENT_PROVIDER": "stripe",
        "PAYMENT_AUTH": "off",
        "PAYMENT_PROVIDER_TIMEOUT_S": str(timeout_s),
        **addresses.kafka.variables("PAYMENT"),
        "PAYMENT_DATABASE_URL": addresses.database_url(BY_NAME["payment"]),
    }
    for name, value in (given | environment).items():
        patch.setenv(name, value)
    settings = Settings()  # type: ignore[call-arg]  # read from the environment
    folder = Path(payment_svc.__file__ or "").parent / "migrations"
    await migrations.migrate(folder, PostgresDatabase.of(settings))
    store = await PostgresStore.connect(SERVICE, PAYMENTS, None, PostgresDatabase.of(settings))
    await store.pool.execute("DELETE FROM effects")  # what other tests owe is not for this provider
    outside = StripeProvider.connect(settings.stripe, settings.provider_timeout_s)
    runners: dict[str, EffectRunner] = {"Capture": outside.capture, "Refund": outside.refund}
    provider = Provider("stripe", runners, 50, settings.provider_timeout_s)
    node = assemble(SERVICE, settings, store, PostgresInspection(store), provider)
    worker: EffectWorker = node.extras["effects"].__self__  # type: ignore[attr-defined]
    worker.poll_s = POLL_S
    app = api.make(node, store, settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://payment") as http:
            yield Desk(node, worker, store, fake, http, app)
    finally:
        await outside.close()
        await store.close()
