"""The payment service over HTTP: what was taken and given back."""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Request

from chassis.auth import AUDIT, OPERATE, SERVICE
from chassis.http import (
    Access,
    Problem,
    Resource,
    SagaKey,
    app_of,
    granted,
    key_in_path,
    open_to,
    refusals,
)
from chassis.postgres import PostgresStore
from chassis.process.runtime import Node
from payment_svc import domain
from payment_svc.settings import Settings
from payment_svc.store import PAYMENT_DETAILS
from shared_events.pseudonyms import owner_of
from shared_events.scopes import ORDERS

TAGS: Final = {
    "payments": "What was taken for an order, and given back.",
    "webhooks": "Outcomes that a payment provider reports.",
}
PAYMENT: Final = Resource(
    "Payment", domain.State, key="order_id", hidden=frozenset({"order", "customer_id"})
)
Payment: Final[Any] = PAYMENT.model()
READING: Final = Access(own={ORDERS}, every={SERVICE, OPERATE, AUDIT})
OrderId = Annotated[SagaKey, key_in_path("The order's id.")]


def make(node: Node, store: PostgresStore, settings: Settings) -> FastAPI:
    app = app_of(node, "Takes the money for an order, and gives it back.", TAGS)
    if settings.provider == "stripe":
        from payment_svc import stripe_webhook  # noqa: PLC0415 - half a second to load

        app.include_router(stripe_webhook.routes(node, store, settings.stripe))

    @app.get(
        "/payments/{order_id}",
        tags=["payments"],
        summary="An order's payment",
        response_model=Payment,
        responses=refusals(_404="No payment of the order is known (`unknown_payment`)."),
    )
    @open_to(READING)
    async def get_payment(request: Request, order_id: OrderId) -> dict[str, Any]:
        """In minor units of its currency."""
        async with store.reading() as connection:
            rows = await store.own.load(connection, [order_id])
            details = await PAYMENT_DETAILS.row_of(connection, order_id)
        state = rows[order_id].state if order_id in rows else domain.INITIAL
        owner = owner_of(details, domain.customer_of(state))
        if order_id not in rows or not granted(request).covers(owner):
            raise Problem(404, "unknown_payment", f"no payment of order {order_id[:64]}")
        return PAYMENT.shown(order_id, state)

    return app
