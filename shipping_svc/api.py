"""The shipping service over HTTP: shipments, and letting one leave."""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Request

from chassis.http import (
    IdempotencyKeyHeader,
    Problem,
    Resource,
    SagaKey,
    app_of,
    execute,
    key_in_path,
    links,
    refusals,
)
from chassis.postgres import PostgresStore
from chassis.process.runtime import Node
from shipping_svc import domain
from shipping_svc.messages import DispatchShipment

TAGS: Final = {"shipments": "Shipments of orders."}
UNKNOWN: Final = "No shipment of the order is known (`unknown_shipment`)."
REFUSED: Final = (
    "The order is not confirmed yet (`not_confirmed`), or the shipment is cancelled (`cancelled`)."
    " `in_flight`: a request with the same key is being handled, try again after `Retry-After`."
)
SHIPMENT: Final = Resource("Shipment", domain.State, key="order_id", hidden=frozenset({"order"}))
Shipment: Final[Any] = SHIPMENT.model()
OrderId = Annotated[SagaKey, key_in_path("The order's id.")]


def make(node: Node, store: PostgresStore) -> FastAPI:
    app = app_of(node, "Books a shipment for each order, and lets it leave.", TAGS)

    async def resource(order_id: str) -> dict[str, Any]:
        async with store.reading() as connection:
            rows = await store.own.load(connection, [order_id])
        if order_id not in rows:
            raise Problem(404, "unknown_shipment", f"no shipment of order {order_id[:64]}")
        return SHIPMENT.shown(order_id, rows[order_id].state)

    @app.get(
        "/shipments/{order_id}",
        tags=["shipments"],
        summary="An order's shipment",
        response_model=Shipment,
        responses=refusals(_404=UNKNOWN),
    )
    async def get_shipment(order_id: OrderId) -> dict[str, Any]:
        """As the shipping service knows it."""
        return await resource(order_id)

    @app.post(
        "/shipments/{order_id}/dispatch",
        tags=["shipments"],
        summary="Let a shipment leave now",
        response_model=Shipment,
        responses={
            200: {"links": links("order_id", "get_shipment")},
            **refusals(_404=UNKNOWN, _409=REFUSED),
        },
    )
    async def dispatch_shipment(
        request: Request, order_id: OrderId, idempotency_key: IdempotencyKeyHeader = None
    ) -> dict[str, Any]:
        """From here on the order can't be cancelled."""
        command = DispatchShipment(order_id=order_id)
        await execute(node.commands, request, order_id, command, idempotency_key=idempotency_key)
        return await resource(order_id)

    return app
