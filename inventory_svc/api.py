"""The inventory service over HTTP: availability and stock."""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel, Field

from chassis.auth import AUDIT, OPERATE, SERVICE
from chassis.http import (
    Access,
    Body,
    Code,
    IdempotencyKeyHeader,
    Problem,
    app_of,
    example,
    execute,
    links,
    open_to,
    refusals,
    text,
)
from chassis.postgres import PostgresStore
from chassis.process.runtime import Node
from inventory_svc.availability import Availability
from inventory_svc.domain import Level
from inventory_svc.messages import ReceiveStock, ReturnStock, SetStock, WriteOffStock
from shared_events.scopes import ORDERS, SHOP

PIECES: Final = ("available", "reserved", "committed", "shipped", "returned")
LEVEL: Final = f"SELECT {', '.join(PIECES)} FROM stock WHERE sku = $1"  # noqa: S608 - own names
TAGS: Final = {"stock": "What is in stock, and what of it can be sold."}
BROWSING: Final = Access(every={ORDERS, SHOP, SERVICE, OPERATE, AUDIT})
READING: Final = Access(every={SHOP, OPERATE, AUDIT})
COUNTING: Final = Access(every={SHOP})
UNKNOWN: Final = "There is no stock of it (`unknown_sku`)."
IN_FLIGHT: Final = (
    "`in_flight`: a request with the same key is being handled, try again after `Retry-After`."
)
IN_USE: Final = f"Orders hold more than that would leave (`stock_in_use`). {IN_FLIGHT}"
TOO_MANY: Final = "More than 10^15 would have come in (`too_many_pieces`)."
TOO_MANY_BACK: Final = "more than 10^15 would have come back (`too_many_pieces`)."
NOT_SHIPPED: Final = f"Fewer are with customers (`not_shipped`), or {TOO_MANY_BACK} {IN_FLIGHT}"
Sku = Annotated[Code, Path(description="The product's SKU.", examples=["RETRO-CLOCK"])]
ReasonText = Annotated[str, text(40, pattern="^[a-z][a-z0-9_]{0,39}$")]


class Stock(Body):
    model_config = example(on_hand=100)
    on_hand: int = Field(ge=0, le=10**12, strict=True)


class Receipt(Body):
    model_config = example(quantity=20)
    quantity: int = Field(ge=1, le=10**9, strict=True)


class WriteOff(Receipt):
    """`reason` is a code for the books, such as `damaged`: no text that could name a person."""

    model_config = example(quantity=1, reason="damaged")
    reason: ReasonText


class StockLevel(BaseModel):
    """Pieces: `on_hand` is what a count finds; `shipped` ones are with customers, or came back."""

    sku: str
    available: int
    reserved: int
    committed: int
    shipped: int
    returned: int
    on_hand: int


def as_resource(sku: str, level: Level) -> dict[str, Any]:
    """Pieces of a SKU as a client sees them; a count (`PUT`) sets `on_hand`."""
    pieces = {name: getattr(level, name) for name in PIECES}
    return {"sku": sku, **pieces, "on_hand": level.on_hand}


def make(node: Node, store: PostgresStore, availability: Availability) -> FastAPI:
    app = app_of(node, "Holds stock for orders, and knows what is available.", TAGS)

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

    @app.get("/availability", tags=["stock"], summary="How many pieces can be sold")
    @open_to(BROWSING)
    async def get_availability(
        sku: Annotated[
            list[Code], Query(min_length=1, max_length=200, description="One or more SKUs.")
        ],
    ) -> dict[str, int]:
        """By SKU, from a cache that follows within a second; an unknown SKU is not in the answer."""
        return await availability.of(sku)

    @app.get(
        "/stock/{sku}",
        tags=["stock"],
        summary="A product's stock",
        response_model=StockLevel,
        responses=refusals(_404=UNKNOWN),
    )
    @open_to(READING)
    async def get_stock(sku: Sku) -> dict[str, Any]:
        """As the database has it."""
        return await level_of(sku)

    @app.put(
        "/stock/{sku}",
        tags=["stock"],
        summary="Set what was counted",
        response_model=StockLevel,
        responses={
            200: {"links": links("sku", "get_stock", "receive_stock", "write_off_stock")},
            **refusals(_409=f"{TOO_MANY} {IN_USE}"),
        },
    )
    @open_to(COUNTING)
    async def set_stock(request: Request, sku: Sku, body: Stock) -> dict[str, Any]:
        """All pieces on hand, those that are promised to orders as well."""
        await execute(node.commands, request, sku, SetStock(sku=sku, on_hand=body.on_hand))
        try:
            return await level_of(sku)
        except Problem:  # nothing of a product that never had a piece: it has no row
            return as_resource(sku, Level())

    @app.post(
        "/stock/{sku}/receipts",
        status_code=201,
        tags=["stock"],
        summary="Receive pieces",
        response_model=StockLevel,
        responses={
            201: {"links": links("sku", "get_stock", "write_off_stock", "return_stock")},
            **refusals(_409=f"{TOO_MANY} {IN_FLIGHT}"),
        },
    )
    @open_to(COUNTING)
    async def receive_stock(
        request: Request, sku: Sku, body: Receipt, idempotency_key: IdempotencyKeyHeader = None
    ) -> dict[str, Any]:
        """They come on top of what is on hand."""
        command = ReceiveStock(sku=sku, quantity=body.quantity)
        return await changed(request, sku, command, idempotency_key)

    @app.post(
        "/stock/{sku}/write-offs",
        status_code=201,
        tags=["stock"],
        summary="Write pieces off",
        response_model=StockLevel,
        responses=refusals(_404=UNKNOWN, _409=IN_USE),
    )
    @open_to(COUNTING)
    async def write_off_stock(
        request: Request, sku: Sku, body: WriteOff, idempotency_key: IdempotencyKeyHeader = None
    ) -> dict[str, Any]:
        """They are lost or broken: only pieces that no order holds."""
        command = WriteOffStock(sku=sku, quantity=body.quantity, reason=body.reason)
        return await changed(request, sku, command, idempotency_key)

    @app.post(
        "/stock/{sku}/returns",
        status_code=201,
        tags=["stock"],
        summary="Take pieces back from a customer",
        response_model=StockLevel,
        responses=refusals(_404=UNKNOWN, _409=NOT_SHIPPED),
    )
    @open_to(COUNTING)
    async def return_stock(
        request: Request, sku: Sku, body: Receipt, idempotency_key: IdempotencyKeyHeader = None
    ) -> dict[str, Any]:
        """They can be sold again: at most as many as are with customers."""
        command = ReturnStock(sku=sku, quantity=body.quantity)
        return await changed(request, sku, command, idempotency_key)

    return app
