"""The shipping service over HTTP: shipments, and letting one leave."""

from typing import Any

from fastapi import FastAPI, Request

from chassis.http import IdempotencyKey, OrderId, Problem, execute
from chassis.operator_api import app_of
from chassis.postgres import PostgresStore
from chassis.runtime import Node
from chassis.work import adapter_of
from shipping_svc.messages import DispatchShipment


def make(node: Node, store: PostgresStore) -> FastAPI:
    app = app_of(node)

    async def resource(order_id: str) -> dict[str, Any]:
        async with store.reading() as connection:
            rows = await store.own.load(connection, [order_id])
        if order_id not in rows:
            raise Problem(404, "unknown_shipment", f"no shipment of order {order_id[:64]}")
        state = rows[order_id].state
        detail = adapter_of(type(state)).dump_python(state, mode="json")
        detail.pop("order", None)
        return {"order_id": order_id, "state": type(state).__name__.upper(), **detail}

    @app.get("/shipments/{order_id}", tags=["shipments"])
    async def shipment(order_id: OrderId) -> dict[str, Any]:
        return await resource(order_id)

    @app.post("/shipments/{order_id}/dispatch", tags=["shipments"])
    async def dispatch(
        request: Request, order_id: OrderId, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        command = DispatchShipment(order_id=order_id)
        await execute(node.commands, request, order_id, command, idempotency_key=idempotency_key)
        return await resource(order_id)

    return app
