"""The inventory service over HTTP: availability and stock."""

from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from chassis.http import IdempotencyKey, Problem, execute
from chassis.operator_api import app_of
from chassis.postgres import PostgresStore
from chassis.runtime import Node
from inventory_svc.availability import Availability
from inventory_svc.messages import ReceiveStock, SetStock

Sku = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


class Stock(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    on_hand: int = Field(ge=0, le=10**12, strict=True)


class Receipt(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    quantity: int = Field(ge=1, le=10**9, strict=True)


def make(node: Node, store: PostgresStore, availability: Availability) -> FastAPI:
    app = app_of(node)

    async def level_of(sku: str) -> dict[str, Any]:
        query = "SELECT sku, available, reserved, committed FROM stock WHERE sku = $1"
        async with store.reading() as connection:
            row = await connection.fetchrow(query, sku)
        if row is None:
            raise Problem(404, "unknown_sku", f"there is no stock of {sku!r}")
        return {**row, "on_hand": row["available"] + row["reserved"] + row["committed"]}

    @app.get("/availability", tags=["stock"])
    async def available(
        sku: Annotated[list[str], Query(min_length=1, max_length=200)],
    ) -> dict[str, int]:
        return await availability.of(sku)

    @app.get("/stock/{sku}", tags=["stock"])
    async def level(sku: Sku) -> dict[str, Any]:
        return await level_of(sku)

    @app.put("/stock/{sku}", tags=["stock"])
    async def set_stock(request: Request, sku: Sku, body: Stock) -> dict[str, Any]:
        await execute(node.commands, request, sku, SetStock(sku=sku, on_hand=body.on_hand))
        try:
            return await level_of(sku)
        except Problem:  # nothing of a product that never had a piece: it has no row
            return {"sku": sku, "available": 0, "reserved": 0, "committed": 0, "on_hand": 0}

    @app.post("/stock/{sku}/receipts", status_code=201, tags=["stock"])
    async def receive(
        request: Request, sku: Sku, body: Receipt, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        command = ReceiveStock(sku=sku, quantity=body.quantity)
        await execute(node.commands, request, sku, command, idempotency_key=idempotency_key)
        return await level_of(sku)

    return app
