"""The payment service over HTTP: what was taken and given back."""

from typing import Any

from fastapi import FastAPI

from chassis.http import OrderId, Problem
from chassis.operator_api import app_of
from chassis.postgres import PostgresStore
from chassis.runtime import Node
from chassis.work import adapter_of
from payment_svc.settings import Settings


def make(node: Node, store: PostgresStore, settings: Settings) -> FastAPI:
    app = app_of(node)
    if settings.provider == "stripe":
        from payment_svc import stripe_webhook  # noqa: PLC0415 - half a second to load

        app.include_router(stripe_webhook.routes(node, store, settings.stripe.webhook_secrets))

    @app.get("/payments/{order_id}", tags=["payments"])
    async def payment(order_id: OrderId) -> dict[str, Any]:
        async with store.reading() as connection:
            rows = await store.own.load(connection, [order_id])
        if order_id not in rows:
            raise Problem(404, "unknown_payment", f"no payment of order {order_id[:64]}")
        state = rows[order_id].state
        detail = adapter_of(type(state)).dump_python(state, mode="json")
        detail.pop("order", None)
        return {"order_id": order_id, "state": type(state).__name__.upper(), **detail}

    return app
