"""The shipping service over HTTP: shipments, and letting one leave."""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Request

from chassis.auth import AUDIT, OPERATE, SERVICE
from chassis.http import (
    Access,
    IdempotencyKeyHeader,
    Problem,
    Resource,
    SagaKey,
    app_of,
    execute,
    granted,
    key_in_path,
    links,
    open_to,
    refusals,
)
from chassis.postgres import PostgresStore
from chassis.process.runtime import Node
from shared_events.pseudonyms import owner_of
from shared_events.scopes import ORDERS, SHOP
from shipping_svc import domain
from shipping_svc.messages import DispatchShipment
from shipping_svc.store import DELIVERY_DETAILS

TAGS: Final = {"shipments": "Shipments of orders."}
UNKNOWN: Final = "No shipment of the order is known (`unknown_shipment`)."
REFUSED: Final = (
    "The order is not confirmed yet (`not_confirmed`), or the shipment is cancelled (`cancelled`)."
    " `in_flight`: a request with the same key is being handled, try again after `Retry-After`."
)
READING: Final = Access(own={ORDERS}, every={SHOP, SERVICE, OPERATE, AUDIT})
DISPATCHING: Final = Access(every={SHOP})
HIDDEN: Final = frozenset({"order", "customer_id"})
SHIPMENT: Final = Resource("Shipment", domain.State, key="order_id", hidden=HIDDEN)
Shipment: Final[Any] = SHIPMENT.model()
OrderId = Annotated[SagaKey, key_in_path("The order's id.")]


def customer_of(state: domain.State) -> str:
    """Whose shipment it is; "" where none was asked for, or by an older release."""
    match state:
        case domain.Booking(order=order):
            return order.customer_id
        case domain.Shipment() | domain.Rejected():
            return state.customer_id
        case domain.Absent() | domain.Noted():
            return ""


def make(node: Node, store: PostgresStore) -> FastAPI:
    app = app_of(node, "Books a shipment for each order, and lets it leave.", TAGS)

    async def resource(request: Request, order_id: str) -> dict[str, Any]:
        async with store.reading() as connection:
            rows = await store.own.load(connection, [order_id])
            details = await DELIVERY_DETAILS.row_of(connection, order_id)
        state = rows[order_id].state if order_id in rows else domain.INITIAL
        owner = owner_of(details, customer_of(state))
        if order_id not in rows or not granted(request).covers(owner):
            raise Problem(404, "unknown_shipment", f"no shipment of order {order_id[:64]}")
        return SHIPMENT.shown(order_id, state)

    @app.get(
        "/shipments/{order_id}",
        tags=["shipments"],
        summary="An order's shipment",
        response_model=Shipment,
        responses=refusals(_404=UNKNOWN),
    )
    @open_to(READING)
    async def get_shipment(request: Request, order_id: OrderId) -> dict[str, Any]:
        """As the shipping service knows it."""
        return await resource(request, order_id)

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
    @open_to(DISPATCHING)
    async def dispatch_shipment(
        request: Request, order_id: OrderId, idempotency_key: IdempotencyKeyHeader = None
    ) -> dict[str, Any]:
        """From here on the order can't be cancelled."""
        command = DispatchShipment(order_id=order_id)
        await execute(node.commands, request, order_id, command, idempotency_key=idempotency_key)
        return await resource(request, order_id)

    return app
