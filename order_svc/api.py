"""The order service over HTTP: checkout, orders, cancellation, catalogue."""

import re
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import FastAPI, Header, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from chassis import ids
from chassis.commands import OverloadedError
from chassis.http import IdempotencyKey, OrderId, Problem, execute
from chassis.message import Done, Repeated
from chassis.operator_api import app_of
from chassis.postgres import PostgresStore
from chassis.runtime import Node
from chassis.shortcut import shorten
from order_svc import domain
from order_svc.admission import Admission
from order_svc.messages import CancelOrder, CartLine, PlaceOrder, PriceProduct
from order_svc.settings import Settings
from order_svc.waiting import Waiting, answered
from shared_events.order import DeliveryDetailsGiven

WAIT_MAX_S: Final = 60
PUBLISHED_WITHIN_S: Final = 5.0
PLAIN: Final = r"^[ -~]+$"
ORDERS: Final = """
SELECT status, detail FROM orders WHERE order_id COLLATE "C" < $1 {}
ORDER BY order_id COLLATE "C" DESC LIMIT $2
"""
"""A page of them, or of a customer's: each by an index of its own."""
Sku = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


def no_card_number(token: str) -> str:
    """A provider's token has no number as long as a card's, whether or not it passes a check."""
    if re.search(r"\d(?:[\W_]*\d){11}", token):
        raise ValueError("it looks like a card number: send the provider's token")
    return token


Token = Annotated[str, Field(pattern=r"^tok_[A-Za-z0-9_]{1,64}$"), AfterValidator(no_card_number)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CheckoutLine(Strict):
    sku: Sku
    quantity: int = Field(ge=1, le=10_000, strict=True)


class Delivery(Strict):
    """Personal data; it never enters an event log that is kept."""

    name: Text
    street: Text
    city: Text
    email: Text


class Checkout(Strict):
    customer_id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
    lines: Annotated[tuple[CheckoutLine, ...], Field(min_length=1, max_length=100)]
    currency: Currency = "EUR"
    payment_token: Token
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    postal_code: Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[A-Za-z0-9 -]+$")]
    delivery: Delivery | None = None


class Price(Strict):
    name: Text
    price_minor: int = Field(ge=0, le=10**10, strict=True)
    currency: Currency = "EUR"


def as_resource(state: Any) -> dict[str, Any]:
    """An order as a client sees it. Amounts are minor units of `currency`."""
    order = state.order
    cancelled = state if isinstance(state, domain.Cancelled) else None
    return {
        "order_id": order.order_id,
        "state": type(state).__name__.upper(),
        "reason": cancelled.reason if cancelled else None,
        "refused_by": cancelled.refused_by if cancelled else None,
        "customer_id": order.customer_id,
        "lines": [
            {"sku": x.sku, "quantity": x.quantity, "unit_price_minor": x.unit_price_minor}
            for x in order.lines
        ],
        "total_minor": order.total_minor,
        "currency": order.currency,
        "refunded_minor": cancelled.refunded_minor if cancelled else 0,
        "fee_minor": cancelled.fee_minor if cancelled else 0,
        "placed_at": order.placed_at,
        "deadline": order.deadline,
    }


def respond(_events: tuple[Any, ...], state: Any) -> bytes:
    return to_json(as_resource(state.order))


def wait_of(prefer: str | None) -> float | None:
    """The seconds of `Prefer: wait=N` (RFC 7240); anything else is ignored, as the RFC says."""
    for preference in (prefer or "").split(","):
        name, _, value = preference.strip().partition("=")
        seconds = value.strip().strip('"')
        if name.strip().lower() == "wait" and re.fullmatch("[0-9]+", seconds):  # no superscripts
            return min(float(seconds), WAIT_MAX_S)
    return None


def make(  # noqa: C901, PLR0915 - one route after the other
    node: Node, store: PostgresStore, settings: Settings, settled: Waiting, published: Waiting
) -> FastAPI:
    app = app_of(node)
    admission = Admission(settings.slow_above_s)
    store.on_commit.append(admission.committed)

    async def state_of(order_id: str) -> Any:
        async with store.reading() as connection:
            rows = await store.own.load(connection, [order_id])
        if order_id not in rows:
            raise Problem(404, "unknown_order", f"there is no order {order_id[:64]}")
        return rows[order_id].state

    async def is_settled(order_id: str) -> bool:
        return isinstance(await state_of(order_id), domain.Confirmed | domain.Cancelled)

    @app.post("/checkout", status_code=201, tags=["orders"])
    async def checkout(
        request: Request,
        body: Checkout,
        idempotency_key: IdempotencyKey = None,
        prefer: Annotated[str | None, Header()] = None,
    ) -> Response:
        if not admission.admits():
            raise OverloadedError("orders take too long: no more are taken than are settled")
        order_id = ids.new_id()
        delivery = body.delivery
        details = (
            (DeliveryDetailsGiven(order_id=order_id, **delivery.model_dump()),) if delivery else ()
        )
        command = PlaceOrder(
            order_id=order_id,
            customer_id=body.customer_id,
            cart=tuple(CartLine(sku=x.sku, quantity=x.quantity) for x in body.lines),
            currency=body.currency,
            payment_token=body.payment_token,
            country=body.country,
            postal_code=body.postal_code,
            patience=timedelta(seconds=settings.patience_s),
        )
        outcome = await execute(
            node.commands,
            request,
            order_id,
            command,
            idempotency_key=idempotency_key,
            respond=respond,
            companions=details,
        )
        assert isinstance(outcome, Done | Repeated)
        return await answer(order_id, outcome, wait_of(prefer))

    shorten(app, "/checkout")

    async def is_published(order_id: str) -> bool:
        async with store.reading() as connection:
            query = "SELECT NOT EXISTS (SELECT FROM outbox WHERE key = $1)"
            return bool(await connection.fetchval(query, order_id))

    async def in_the_log(order_id: str) -> None:
        """Where that is asked for, nothing is acknowledged that this database alone holds."""
        if settings.acknowledge == "committed":
            return
        if not await published.until(order_id, PUBLISHED_WITHIN_S, lambda: is_published(order_id)):
            why = (
                "the order is kept, but not in the log yet: ask again with the same Idempotency-Key"
            )
            raise Problem(503, "not_published", why, order_id=order_id)

    async def kept(order_id: str, outcome: Done | Repeated) -> bytes:
        """What was answered; looked up where a commit's reply was lost and there was no key."""
        if outcome.response:
            return outcome.response
        state = await answered(state_of(order_id))
        if state is None:
            why = "the order is kept, but the store is away: look for it later"
            raise Problem(503, "not_read", why, order_id=order_id)
        return to_json(as_resource(state))

    async def answer(order_id: str, outcome: Done | Repeated, seconds: float | None) -> Response:
        """201 with the order as placed; after a wait 201 if it is settled, else 202.

        A wait ends early where the process stops. The order is kept by then: whatever happens while it
        is waited for, the answer has its id.
        """
        status, body = 201, await kept(order_id, outcome)
        if isinstance(outcome, Repeated):
            order_id = from_json(body)["order_id"]  # the first request's
        await in_the_log(order_id)
        headers = {"Location": f"/orders/{order_id}"}
        if seconds is not None:
            headers["Preference-Applied"] = f"wait={seconds:g}"
            await settled.until(order_id, seconds, lambda: is_settled(order_id), node.stopping)
            state = await answered(state_of(order_id))
            status = 201 if isinstance(state, domain.Confirmed | domain.Cancelled) else 202
            body = body if state is None else to_json(as_resource(state))
        return Response(body, status, headers, media_type="application/json")

    @app.get("/orders/{order_id}", tags=["orders"])
    async def order(order_id: OrderId) -> Response:
        resource = as_resource(await state_of(order_id))
        async with store.reading() as connection:
            rows = await connection.fetch(
                "SELECT at, heard, said FROM timeline WHERE order_id = $1 ORDER BY id", order_id
            )
        resource["timeline"] = [dict(row) for row in rows]
        return Response(to_json(resource), media_type="application/json")

    @app.get("/orders", tags=["orders"])
    async def orders(
        customer_id: Annotated[str | None, Query(max_length=64, pattern=PLAIN)] = None,
        cursor: Annotated[str, Query(max_length=64, pattern=PLAIN)] = "~",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        values = (cursor, limit) if customer_id is None else (cursor, limit, customer_id)
        query = ORDERS.format("" if customer_id is None else "AND customer_id = $3")
        async with store.reading() as connection:
            rows = await connection.fetch(query, *values)
        page = [as_resource(store.own.state_of(*row)) for row in rows]
        following = page[-1]["order_id"] if len(page) == limit else None
        return Response(to_json({"orders": page, "next": following}), media_type="application/json")

    @app.post("/orders/{order_id}/cancel", status_code=202, tags=["orders"])
    async def cancel(
        request: Request, order_id: OrderId, idempotency_key: IdempotencyKey = None
    ) -> Response:
        outcome = await execute(
            node.commands,
            request,
            order_id,
            CancelOrder(order_id=order_id),
            idempotency_key=idempotency_key,
            respond=respond,
        )
        assert isinstance(outcome, Done | Repeated)
        body = await kept(order_id, outcome)
        await in_the_log(order_id)
        return Response(body, 202, media_type="application/json")

    @app.put("/catalogue/{sku}", tags=["catalogue"])
    async def price(request: Request, sku: Sku, body: Price) -> dict[str, Any]:
        await execute(node.commands, request, sku, PriceProduct(sku=sku, **body.model_dump()))
        return {"sku": sku, **body.model_dump()}

    @app.get("/catalogue", tags=["catalogue"])
    async def catalogue() -> list[dict[str, Any]]:
        async with store.reading() as connection:
            rows = await connection.fetch(
                'SELECT sku, name, price_minor, currency FROM products ORDER BY sku COLLATE "C"'
            )
        return [dict(row) for row in rows]

    return app
