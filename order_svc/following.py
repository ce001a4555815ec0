"""An order's steps as they happen: its timeline as server-sent events, until it is settled."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse
from pydantic_core import to_json

from chassis.http import (
    PUBLIC,
    Access,
    EventStreams,
    LastEventIdHeader,
    ServerEvent,
    StreamStep,
    granted,
    header,
    open_to,
    refusals,
)
from chassis.postgres import PostgresStore
from order_svc.customers import Pseudonyms
from order_svc.resources import SETTLED, UNKNOWN, OrderId, as_resource, state_after

AFTER: Final = """
SELECT at, heard AS cause, said AS published FROM timeline WHERE order_id = $1 ORDER BY id OFFSET $2
"""
COUNTS: Final = "SELECT order_id, count(*) FROM timeline WHERE order_id = ANY($1) GROUP BY order_id"
PAGE: Final = Path(__file__).with_name("example.html")
EVENT_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string", "enum": ["step", "settled"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
"""Of each event: that is what a schema of a stream describes before OpenAPI 3.2."""
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": (
            "Server-sent events. `id` counts the order's steps, `Last-Event-ID` takes it; `event` is"
            " `step`, or `settled` for the last one; `data` is JSON: `order_id`, `state`, `at`, `cause`,"
            " `published` (the timeline's `heard` and `said`), and in `settled` also `order`, as"
            " `POST /checkout` answers it."
        ),
        "content": {
            EventSourceResponse.media_type: {
                "schema": EVENT_SCHEMA,
                "example": 'event: step\ndata: {"state":"PENDING"}\nid: 1\n\n',
            }
        },
        "headers": {"X-Accel-Buffering": header("`no`: proxies are not to hold events back.")},
    },
    204: {
        "description": "It is settled, and all of its steps were sent: there is nothing to wait for."
    },
}
TOO_MANY: Final = (
    "The caller has too many streams open (`too_many_streams`), or asks too often (`rate_limited`)."
)
OwnStateOf = Callable[[Request, str], Awaitable[tuple[Any, str]]]


@dataclass(frozen=True, slots=True)
class Timelines:
    """What the streams read of the database."""

    store: PostgresStore
    pseudonyms: Pseudonyms

    async def counts(self, order_ids: Collection[str]) -> Mapping[str, int]:
        """How many steps orders have by now."""
        async with self.store.reading() as connection:
            return dict(await connection.fetch(COUNTS, list(order_ids)))

    async def after(self, order_id: str, sent: int) -> StreamStep:
        """The steps that follow a number of them. A number that there is not yet begins anew.

        The state is read after the steps: it belongs to the last of them only if that one says the same.
        """
        async with self.store.reading() as connection:
            rows = await connection.fetch(AFTER, order_id, max(sent - 1, 0))
            loaded = await self.store.own.load(connection, [order_id])
            if sent and not rows:
                sent, rows = 0, await connection.fetch(AFTER, order_id, 0)
        state, reached = loaded[order_id].state, ""
        events = list[ServerEvent]()
        for number, row in enumerate(rows, max(sent, 1)):
            reached = state_after(row["published"]) or reached
            if number > sent:
                step = {"order_id": order_id, "state": reached, **row}
                events.append(ServerEvent(number, "step", to_json(step)))
        is_last = reached in SETTLED and reached == type(state).__name__.upper()
        if is_last and events:
            customer_id = await self.pseudonyms.customer_of(state.order.customer_id)
            settled = {**step, "order": as_resource(state, customer_id)}
            events[-1] = ServerEvent(events[-1].id, "settled", to_json(settled))
        return StreamStep(tuple(events), is_last)


def add_stream(
    app: FastAPI,
    streams: EventStreams,
    timelines: Timelines,
    reading: Access,
    own_state_of: OwnStateOf,
) -> None:
    """The route that follows an order: who may read the order may follow it."""

    @app.get(
        "/orders/{order_id}/events",
        tags=["orders"],
        summary="An order's steps as they happen",
        response_class=Response,
        responses={**ANSWERS, **refusals(_404=UNKNOWN, _429=TOO_MANY)},
    )
    @open_to(reading)
    async def follow_order(
        request: Request, order_id: OrderId, last_event_id: LastEventIdHeader = None
    ) -> Response:
        """Those that were, then each as it happens; the last one comes with the settled order.

        The stream ends when the order is settled, when the process stops, and after ten minutes: ask again
        with `Last-Event-ID`, as an EventSource does by itself.
        """
        await own_state_of(request, order_id)
        sent = int(last_event_id or 0)
        first = await timelines.after(order_id, sent)
        if first.is_last and not first.events:
            return Response(status_code=204)
        who = granted(request)
        caller = who.subject if who.restricted else ""
        return streams.stream(order_id, caller, sent, lambda n: timelines.after(order_id, n))


def add_example(app: FastAPI) -> None:
    """A page that places an order and follows it: where it is asked for, and in no document."""

    @app.get("/example", include_in_schema=False)
    @open_to(PUBLIC)
    async def example() -> Response:
        return HTMLResponse(PAGE.read_bytes())
