"""The inventory service over HTTP: availability and stock."""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from chassis.http import IdempotencyKey, Problem, execute
from chassis.operator_api import app_of
from chassis.postgres import PostgresStore
from chassis.runtime import Node
from inventory_svc.availability import Availability
from inventory_svc.domain import Level
from inventory_svc.messages import ReceiveStock, ReturnStock, SetStock, WriteOffStock

PIECES: Final = ("available", "reserved", "committed", "shipped", "returned")
LEVEL: Final = f"SELECT {', '.join(PIECES)} FROM stock WHERE sku = $1"  # noqa: S608 - own names
Sku = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


class Stock(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    on_hand: int = Field(ge=0, le=10**12, strict=True)


class Receipt(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    quantity: int = Field(ge=1, le=10**9, strict=True)


class WriteOff(Receipt):
    """`reason` is a code for the books, such as `damaged`: no text that could name a person."""

    reason: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")


def as_resource(sku: str, level: Level) -> dict[str, Any]:
    """Pieces of a SKU as a client sees them; a count (`PUT`) sets `on_hand`."""
    pieces = {name: getattr(level, name) for name in PIECES}
    return {"sku": sku, **pieces, "on_hand": level.on_hand}


def make(node: Node, store: PostgresStore, availability: Availability) -> FastAPI:
    app = app_of(node)

    async def level_of(sku: str) -> dict[str, Any]:
        async with store.reading() as connection:
            row = await connection.fetchrow(LEVEL, sku)
        if row is None:
            raise Problem(404, "unknown_sku", f"there is no stock of {sku!r}")
        return as_resource(sku, Level(**row))

    async def changed(
        request: Request, sku: str, command: Any, idempotency_key: str | None
    ) -> dict[str, Any]:
        await execute(node.commands, request, sku, command, idempotency_key=idempotency_key)
        return await level_of(sku)

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
            return as_resource(sku, Level())

    @app.post("/stock/{sku}/receipts", status_code=201, tags=["stock"])
    async def receive(
        request: Request, sku: Sku, body: Receipt, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        command = ReceiveStock(sku=sku, quantity=body.quantity)
        return await changed(request, sku, command, idempotency_key)

    @app.post("/stock/{sku}/write-offs", status_code=201, tags=["stock"])
    async def write_off(
        request: Request, sku: Sku, body: WriteOff, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        command = WriteOffStock(sku=sku, quantity=body.quantity, reason=body.reason)
        return await changed(request, sku, command, idempotency_key)

    @app.post("/stock/{sku}/returns", status_code=201, tags=["stock"])
    async def take_back(
        request: Request, sku: Sku, body: Receipt, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        command = ReturnStock(sku=sku, quantity=body.quantity)
        return await changed(request, sku, command, idempotency_key)

    return app
