"""The order service over HTTP: checkout, orders, cancellation, catalogue."""

import re
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Query, Request, Response
from pydantic import WithJsonSchema
from pydantic_core import from_json, to_json

from chassis import ids
from chassis.auth import AUDIT, OPERATE, SERVICE
from chassis.commands import OverloadedError
from chassis.http import (
    Access,
    Code,
    EventStreams,
    IdempotencyKeyHeader,
    Problem,
    app_of,
    execute,
    granted,
    header,
    links,
    open_to,
    preferences,
    read_or_none,
    refusals,
    text,
)
from chassis.message import Decided, Duplicate
from chassis.pace import LONE, Pace
from chassis.postgres import PostgresStore
from chassis.process.runtime import Node
from order_svc import domain
from order_svc.admission import Admission
from order_svc.customers import Pseudonyms
from order_svc.following import Timelines, add_example, add_stream
from order_svc.messages import CancelOrder, CartLine, PlaceOrder, PriceProduct
from order_svc.ownership import customer_of, listed_customer
from order_svc.resources import (
    UNKNOWN,
    Checkout,
    Customer,
    Delivery,
    Order,
    OrderId,
    OrderPage,
    OrderWithTimeline,
    Price,
    Product,
    as_resource,
)
from order_svc.settings import Settings
from shared_events.order import DeliveryDetailsGiven, PaymentDetailsGiven
from shared_events.scopes import ORDERS, SHOP

WAIT_MAX_S: Final = 60
PUBLISHED_WITHIN_S: Final = 5.0
PAGE: Final = """
SELECT status, detail FROM orders WHERE order_id COLLATE "C" < $1 {}
ORDER BY order_id COLLATE "C" DESC LIMIT $2
"""
"""A page of them, or of a customer's: each by an index of its own."""
PLACING: Final = Access(own={ORDERS}, every={SERVICE})
READING: Final = Access(own={ORDERS}, every={SERVICE, OPERATE, AUDIT})
IDENTIFYING: Final = Access(every={SERVICE, OPERATE})
PRICING: Final = Access(every={SHOP})
BROWSING: Final = Access(every={ORDERS, SHOP, SERVICE, OPERATE, AUDIT})
TAGS: Final = {
    "orders": "Placing orders, following and cancelling them.",
    "catalogue": "What is for sale, and its prices.",
    "customers": "What stands for a customer in events.",
}
PREFER: Final[dict[str, Any]] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": (
        "`wait=N` (RFC 7240): the answer waits up to N seconds (60 at most) until the order is"
        " settled. Several lines count as one list; what is malformed or unknown is ignored."
    ),
    "schema": {"type": "string"},
    "example": "wait=10",
}
SHOWN: Final = {
    "Location": header("Where the order is.", required=True, examples=["/orders/{order_id}"]),
    "Preference-Applied": header("`wait=N`, as it was applied.", pattern="^wait=[0-9]+$"),
}
ITS_ORDER: Final = links("order_id", "get_order", "cancel_order")
PLACED: Final[dict[int | str, dict[str, Any]]] = {
    201: {
        "description": "The order is placed, or settled if that was waited for.",
        "headers": SHOWN,
        "links": ITS_ORDER,
    },
    202: {
        "description": "Placed, and not settled within the time that `Prefer: wait=N` gave.",
        "model": Order,
        "headers": SHOWN,
        "links": ITS_ORDER,
    },
}
CANCEL_REFUSED: Final = (
    "It is being cancelled (`already_cancelling`), is cancelled (`already_cancelled`), or a"
    " cancellation was refused before (`cancellation_refused`). `in_flight`: a request with the same"
    " key is being handled, try again after `Retry-After`."
)
CURSOR: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


Cursor = Annotated[str, text(64), WithJsonSchema({"type": "string", "format": "uuid"})]
CustomerId = Annotated[Code, Path(description="The customer.", examples=["alice"])]
Sku = Annotated[Code, Path(description="The product's SKU.", examples=["RETRO-CLOCK"])]


def respond(_events: tuple[Any, ...], state: Any) -> bytes:
    """What an idempotency key keeps: it names the customer as events do."""
    return to_json(as_resource(state.order, state.order.order.customer_id))


def details_of(
    order_id: str, customer_id: str, body: Checkout
) -> tuple[PaymentDetailsGiven, DeliveryDetailsGiven]:
    """What no kept event holds."""
    delivery = dict.fromkeys(Delivery.model_fields, "")
    delivery |= body.delivery.model_dump() if body.delivery else {}
    of = {"order_id": order_id, "customer_id": customer_id}
    return (
        PaymentDetailsGiven(**of, payment_token=body.payment_token),
        DeliveryDetailsGiven(**of, **delivery, postal_code=body.postal_code),
    )


def unknown(order_id: str) -> Problem:
    return Problem(404, "unknown_order", f"there is no order {order_id[:64]}")


def wait_of(prefer: Sequence[str]) -> float | None:
    """The seconds of `Prefer: wait=N` (RFC 7240), of all lines of the header; None without."""
    seconds = preferences(prefer).get("wait", "")
    return min(float(seconds), WAIT_MAX_S) if re.fullmatch("[0-9]+", seconds) else None


def is_final(state: Any) -> bool:
    return isinstance(state, domain.Confirmed | domain.Cancelled)


def make(  # noqa: C901, PLR0915 - one route after the other
    node: Node, store: PostgresStore, settings: Settings
) -> FastAPI:
    app = app_of(node, "Takes orders, and follows each until it is confirmed or undone.", TAGS)
    admission = Admission(settings.slow_above_s)
    pace = Pace(settings.send_every_ms / 2 / 1000, lone=LONE)
    pseudonyms = Pseudonyms(store, node.core.bus.publish, pace)
    settled, published = node.core.waiters(is_final)
    node.core.bus.committed.append(admission.committed)
    streams = EventStreams("order", settings.event_streams_max, node.stopping)
    timelines = Timelines(store, pseudonyms)
    node.core.notify_of_commits(streams.notify)
    node.extras["event_streams"] = partial(streams.watch, timelines.counts)

    async def state_of(order_id: str) -> Any:
        async with store.reading() as connection:
            rows = await store.own.load(connection, [order_id])
        if order_id not in rows:
            raise unknown(order_id)
        return rows[order_id].state

    async def own_state_of(request: Request, order_id: str) -> tuple[Any, str]:
        """An order and its customer. To whom an order does not belong, there is none."""
        state = await state_of(order_id)
        customer_id = await pseudonyms.customer_of(state.order.customer_id)
        if not granted(request).covers(customer_id):
            raise unknown(order_id)
        return state, customer_id

    async def shown(body: bytes) -> bytes:
        """What was kept of an answer, with the customer in the place of the pseudonym."""
        pseudonym = from_json(body)["customer_id"]
        customer_id = await pseudonyms.customer_of(pseudonym)
        return body.replace(to_json(pseudonym), to_json(customer_id), 1)

    async def is_settled(order_id: str) -> bool:
        return is_final(await state_of(order_id))

    @app.post(
        "/checkout",
        status_code=201,
        tags=["orders"],
        summary="Place an order",
        response_model=Order,
        responses=PLACED,
        openapi_extra={"parameters": [PREFER]},
    )
    @open_to(PLACING)
    async def checkout(
        request: Request, body: Checkout, idempotency_key: IdempotencyKeyHeader = None
    ) -> Response:
        """An order that is acknowledged is never lost, and ends confirmed or cancelled.

        Give an Idempotency-Key: without one, a request that is repeated places a second order. The
        customer is the one that the token names; a service names the one that it acts for.
        """
        customer_id = customer_of(granted(request), body.customer_id)
        if not admission.admits():
            raise OverloadedError("orders take too long: no more are taken than are settled")
        order_id = ids.new_id()
        command = PlaceOrder(
            order_id=order_id,
            customer_id=await pseudonyms.pseudonym_of(customer_id),
            cart=tuple(CartLine(sku=x.sku, quantity=x.quantity) for x in body.lines),
            currency=body.currency,
            country=body.country,
            patience=timedelta(seconds=settings.patience_s),
        )
        outcome = await execute(
            node.commands,
            request,
            order_id,
            command,
            idempotency_key=idempotency_key,
            respond=respond,
            companions=details_of(order_id, customer_id, body),
        )
        return await answer(order_id, outcome, wait_of(request.headers.getlist("prefer")))

    node.core.add_fast_path(app, "/checkout")

    async def is_published(order_id: str) -> bool:
        async with store.reading() as connection:
            query = "SELECT NOT EXISTS (SELECT FROM outbox WHERE key = $1)"
            return bool(await connection.fetchval(query, order_id))

    async def in_the_log(order_id: str) -> None:
        """Where that is asked for, nothing is acknowledged that this database alone holds."""
        if settings.acknowledge == "committed":
            return
        if not await published.wait(order_id, PUBLISHED_WITHIN_S, lambda: is_published(order_id)):
            why = (
                "the order is kept, but not in the log yet: ask again with the same Idempotency-Key"
            )
            raise Problem(503, "not_published", why, order_id=order_id)

    async def kept(order_id: str, outcome: Decided | Duplicate) -> bytes:
        """What was answered; looked up where a commit's reply was lost and there was no key."""
        if outcome.response:
            return await shown(outcome.response)
        state = await read_or_none(state_of(order_id))
        if state is None:
            why = "the order is kept, but the store is away: look for it later"
            raise Problem(503, "not_read", why, order_id=order_id)
        return to_json(as_resource(state, await pseudonyms.customer_of(state.order.customer_id)))

    async def answer(
        order_id: str, outcome: Decided | Duplicate, seconds: float | None
    ) -> Response:
        """201 with the order as placed; after a wait 201 if it is settled, else 202.

        A wait ends early where the process stops. The order is kept by then: whatever happens while it
        is waited for, the answer has its id.
        """
        status, body = 201, await kept(order_id, outcome)
        if isinstance(outcome, Duplicate):
            order_id = from_json(body)["order_id"]  # the first request's
        await in_the_log(order_id)
        headers = {"Location": f"/orders/{order_id}"}
        if seconds is not None:
            headers["Preference-Applied"] = f"wait={seconds:g}"
            await settled.wait(order_id, seconds, lambda: is_settled(order_id), node.stopping)
            state = await read_or_none(state_of(order_id))
            status = 201 if is_final(state) else 202
            if state is not None:
                customer_id = await pseudonyms.customer_of(state.order.customer_id)
                body = to_json(as_resource(state, customer_id))
        return Response(body, status, headers, media_type="application/json")

    @app.get(
        "/orders/{order_id}",
        tags=["orders"],
        summary="An order and its timeline",
        response_model=OrderWithTimeline,
        responses=refusals(_404=UNKNOWN),
    )
    @open_to(READING)
    async def get_order(request: Request, order_id: OrderId) -> Response:
        """As the order service knows it: what it consumed, and what it published."""
        resource = as_resource(*await own_state_of(request, order_id))
        async with store.reading() as connection:
            rows = await connection.fetch(
                "SELECT at, heard, said FROM timeline WHERE order_id = $1 ORDER BY id", order_id
            )
        resource["timeline"] = [dict(row) for row in rows]
        return Response(to_json(resource), media_type="application/json")

    add_stream(app, streams, timelines, READING, own_state_of)
    if settings.example_page:
        add_example(app)

    @app.get("/orders", tags=["orders"], summary="Orders, newest first", response_model=OrderPage)
    @open_to(READING)
    async def list_orders(
        request: Request,
        customer_id: Annotated[Code | None, Query(description="Only this customer's.")] = None,
        cursor: Annotated[Cursor | None, Query(description="The `next` of a page.")] = None,
        limit: Annotated[int, Query(ge=1, le=200, description="Orders on a page.")] = 50,
    ) -> Response:
        """Page by page: `next` of one page is the `cursor` of the following one. Customers see their own."""
        customer_id = listed_customer(granted(request), customer_id)
        if cursor is not None and not CURSOR.fullmatch(cursor):
            raise Problem(400, "invalid_cursor", "a cursor is the `next` of a page")
        before = cursor or "~"
        whose = () if customer_id is None else (await pseudonyms.known(customer_id),)
        query = PAGE.format("" if customer_id is None else "AND customer_id = $3")
        async with store.reading() as connection:
            rows = await connection.fetch(query, before, limit, *whose)
        states = [store.own.state_of(*row) for row in rows]
        names = await pseudonyms.customers_of({state.order.customer_id for state in states})
        page = [as_resource(state, names[state.order.customer_id]) for state in states]
        following = page[-1]["order_id"] if len(page) == limit else None
        return Response(to_json({"orders": page, "next": following}), media_type="application/json")

    @app.post(
        "/orders/{order_id}/cancel",
        status_code=202,
        tags=["orders"],
        summary="Ask for an order's cancellation",
        response_model=Order,
        responses={
            202: {"links": links("order_id", "get_order")},
            **refusals(_404=UNKNOWN, _409=CANCEL_REFUSED),
        },
    )
    @open_to(PLACING)
    async def cancel_order(
        request: Request, order_id: OrderId, idempotency_key: IdempotencyKeyHeader = None
    ) -> Response:
        """It is undone step by step; refused if the shipment has left by then."""
        if granted(request).restricted:
            await own_state_of(request, order_id)
        outcome = await execute(
            node.commands,
            request,
            order_id,
            CancelOrder(order_id=order_id),
            idempotency_key=idempotency_key,
            respond=respond,
        )
        body = await kept(order_id, outcome)
        await in_the_log(order_id)
        return Response(body, 202, media_type="application/json")

    @app.put(
        "/customers/{customer_id}", tags=["customers"], summary="Have a pseudonym for a customer"
    )
    @open_to(IDENTIFYING)
    async def identify(customer_id: CustomerId) -> Customer:
        """The one that events have; it is made where there is none."""
        pseudonym = await pseudonyms.pseudonym_of(customer_id)
        return Customer(customer_id=customer_id, pseudonym=pseudonym)

    @app.put("/catalogue/{sku}", tags=["catalogue"], summary="Set a product's price")
    @open_to(PRICING)
    async def set_price(request: Request, sku: Sku, body: Price) -> Product:
        """Orders that are placed keep the price that they were placed at."""
        await execute(node.commands, request, sku, PriceProduct(sku=sku, **body.model_dump()))
        return Product(sku=sku, **body.model_dump())

    @app.get(
        "/catalogue", tags=["catalogue"], summary="What is for sale", response_model=list[Product]
    )
    @open_to(BROWSING)
    async def list_products() -> list[dict[str, Any]]:
        """All products, by SKU."""
        async with store.reading() as connection:
            rows = await connection.fetch(
                'SELECT sku, name, price_minor, currency FROM products ORDER BY sku COLLATE "C"'
            )
        return [dict(row) for row in rows]

    return app
